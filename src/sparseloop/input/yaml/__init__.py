"""Reads YAML into data whose every value knows its place in the file."""
