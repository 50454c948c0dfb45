"""Reading and writing published checkpoint files."""
