"""Energy, cycles and area of what happens."""
