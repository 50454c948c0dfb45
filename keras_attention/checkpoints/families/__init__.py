"""The published families: for each its `config.json`, names and rules."""
