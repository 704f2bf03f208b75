"""Draws of the tests: always the same ones in `make test`, fresh ones in `make fuzz`."""

from hypothesis import settings

settings.register_profile("fixed", derandomize=True)
settings.register_profile("fresh", derandomize=False, print_blob=True)
settings.load_profile("fixed")
