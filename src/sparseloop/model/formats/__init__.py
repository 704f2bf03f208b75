"""Compressed formats: their metadata, and how much room a tile takes."""
