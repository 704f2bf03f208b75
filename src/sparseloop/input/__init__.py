"""Files and text to a specification, and a specification to a design."""
