"""What models learn from and answer with: strings, pictures and labels in `fit`."""
