"""Which accesses gating and skipping leave, and how likely tiles are empty."""
