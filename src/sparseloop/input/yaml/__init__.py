"""YAML text to data that knows its place in the file."""
