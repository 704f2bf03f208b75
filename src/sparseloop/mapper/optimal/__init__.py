"""Branch and bound: the best mapping with a proof."""
