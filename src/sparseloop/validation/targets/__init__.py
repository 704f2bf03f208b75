"""One published result per module."""
