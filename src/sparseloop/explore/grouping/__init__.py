"""Points of a study that differ in numbers of their levels only, evaluated together as arrays."""
