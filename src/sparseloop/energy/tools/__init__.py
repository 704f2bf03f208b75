"""Tools."""

from sparseloop.energy.tools.common import Backend

__all__ = ["Backend"]
