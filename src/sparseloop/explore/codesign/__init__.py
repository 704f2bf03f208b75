"""Formats and features searched together with the mapping."""
