"""Design-space exploration: studies of many designs."""
