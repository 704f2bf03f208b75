"""Unlabelled figures on which model and reference differ, and who is right; kept small, and every entry is in use.

An entry: cases, path patterns, who is right, why.
"""

from __future__ import annotations

REJECTED: dict[str, str] = {}
EXCEPTIONS: list[tuple[tuple[str, ...], tuple[str, ...], str, str]] = []
