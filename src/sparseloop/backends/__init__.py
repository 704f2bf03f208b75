"""Other tools as estimators: hwcomponents and Accelergy, where they are installed and asked for by name.

They take no part unless the specification names them, so that what else is installed changes no result.
"""

from __future__ import annotations

from collections.abc import Mapping

from .accelergy import Accelergy
from .common import Backend
from .hwcomponents import Hwcomponents

BACKENDS: Mapping[str, Backend] = {one.name: one for one in (Hwcomponents(), Accelergy())}

__all__ = ["BACKENDS", "Backend"]
