"""Collects the mistakes that resolving finds, so that all are reported at once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath

from sparseloop.input.diagnostics import Diagnostic, Path, SpecError, did_you_mean
from sparseloop.input.spec import Spec
from sparseloop.input.yaml.files import SourceMap


@dataclass
class ResolveLog:
    """Mistakes and warnings of one specification, and how to find the text they are about."""

    spec: Spec
    source: SourceMap
    diagnostics: list[Diagnostic] = field(default_factory=list[Diagnostic])
    warnings: list[str] = field(default_factory=list[str])

    @property
    def native(self) -> bool:
        """False for Timeloop's files."""
        return self.spec.reading == "native"

    def error(self, path: Path, message: str, hint: str | None = None, *, word: str | None = None, key: bool = False) -> None:
        """A mistake at `path`; `word` is looked for inside a short notation, `key` means the key itself."""
        self._add(Diagnostic(path=path, message=message, hint=hint, key=key), word)

    def _add(self, found: Diagnostic, word: str | None) -> None:
        offset = self.offset(found.path, word) if word else None
        found = replace(found, offset=offset, length=len(word) if word and offset is not None else 1)
        if found not in self.diagnostics:
            self.diagnostics.append(found)

    def unknown(self, path: Path, kind: str, name: str, known: Iterable[str], *, key: bool = False) -> None:
        """An unknown name, with the closest known one as a hint."""
        message = f"unknown {kind} '{name}'"
        self._add(
            Diagnostic(path=path, message=message, hint=did_you_mean(name, known), key=key, unknown=True), None if key else name
        )

    def offset(self, path: Path, word: str) -> int | None:
        """Column of the last occurrence of `word` in the text that stands at `path`."""
        _, node, _ = self.source.walk(path)
        if not isinstance(node.data, str):
            return None
        places = [m.start() for m in re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", node.data)]
        return places[-1] if places else None

    def warn(self, text: str) -> None:
        """Adds a warning: something is assumed, or read differently than written."""
        if text not in self.warnings:
            self.warnings.append(text)

    def file(self, path: Path, name: str) -> FilePath:
        """A file named in the specification, relative to the file that names it."""
        return self.source.directory(path) / name

    def raise_errors(self) -> None:
        """Raises everything that was found, with places in the files."""
        if self.diagnostics:
            raise SpecError(self.diagnostics).located(self.source)
