"""The command line: options in, text out. `main` runs a command and returns its exit status."""

from __future__ import annotations

from sparseloop.cli.app import main

__all__ = ["main"]
