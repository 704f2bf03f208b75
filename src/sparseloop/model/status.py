"""Why a mapping is not valid, as flags."""

from __future__ import annotations

from enum import IntFlag


class Status(IntFlag):
    """Why a mapping is not valid; flags add up, OK is 0."""

    OK = 0
    OVER_CAPACITY = 1
    OVER_FANOUT = 2
    BAD_FACTORS = 4
    NO_SUCH_PATH = 8
    """A format cannot be laid on the loops, or a level that cannot (de)compress would have to."""
    UNDER_UTILIZED = 16
