"""The mapspace: what constraints leave free, counted, sampled and enumerated."""
