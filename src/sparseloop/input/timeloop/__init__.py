"""Timeloop's YAML (v0.2 to v0.4): `importer` makes a native specification of it; `sections` and `tables` serve other readers."""
