"""Dense counts: tiles, reads, fills and updates."""
