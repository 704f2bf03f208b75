"""Validation: published figures beside ours. Every target is a module with `TARGET`, shipped specs and a small table."""
