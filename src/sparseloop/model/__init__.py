"""The model: records of a design, and what a mapping of a workload on it costs. It imports numpy and nothing else."""
