"""Search for the best mapping of a workload on a design."""
