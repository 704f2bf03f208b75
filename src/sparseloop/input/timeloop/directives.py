"""Reads Timeloop's strings of factors ('P=4,3 R8') and permutations (innermost first)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from sparseloop.input.diagnostics import Path, did_you_mean
from sparseloop.input.timeloop.levels import Machine
from sparseloop.input.timeloop.sections import ImportLog, Plain, Section


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One term of a factor string: `P=4,3` has bound 4 and residual 3; `P<=4` is a constraint."""

    name: str
    relation: str
    bound: int
    residual: int | None = None


def one_string(value: Plain) -> str:
    """A string, or a list of strings joined by blanks; comments are dropped."""
    text = " ".join(str(v) for v in value) if isinstance(value, list) else str(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return text.split("#")[0]


def parse_factors(value: Plain, bounds: Mapping[str, int], path: Path, log: ImportLog) -> list[Factor]:
    """Reads 'P=8 R=1', 'P8,R1', 'P<=4'; the bound 0 means the whole dimension."""
    if isinstance(value, dict):
        written = " ".join(f"{name}={bound}" for name, bound in cast("dict[str, Plain]", value).items())
        log.error(path, "factors are written as a text", f"factors: {written}")
        return []
    text, at, result = one_string(value), 0, list[Factor]()
    names = "|".join(sorted(map(re.escape, bounds), key=len, reverse=True))
    term = re.compile(rf"({names})\s*(<=|>=|=*)\s*(\d+)(?:,(\d+))?")
    while match := re.compile(r"[\s,]*(?=[^\s,])").match(text, at):
        at = match.end()
        found = term.match(text, at)
        if found is None:
            word = re.split(r"[\s,=<>\d]", text[at:])[0] or text[at:]
            log.error(path, f"cannot read factors at '{text[at:].strip()}'", did_you_mean(word, bounds))
            break
        name, relation, bound, residual = found.groups()
        number = int(bound) or bounds[name]
        result.append(
            Factor(name=name, relation=relation if relation in ("<=", ">=") else "=", bound=number, residual=_integer(residual))
        )
        at = found.end()
    return result


MARKS = {
    "no_temporal_reuse": "no_temporal_reuse",
    "no_multicast_no_reduction": "no_multicast",
    "no_link_transfer": "no_forwarding",
}
"""Timeloop's names for lists of data spaces without a kind of reuse, and the native names."""


def _integer(text: str | None) -> int | None:
    return None if text is None else int(text)


def parse_order(text: str, names: Iterable[str], path: Path, log: ImportLog) -> list[str]:
    """Loop names of a permutation, in the order written (innermost first)."""
    known = list(names)
    words = text.replace(",", " ").split()
    if all(len(n) == 1 for n in known) or any(w not in known for w in words):
        words = [c for w in words for c in ([w] if w in known else w)]
    for word in words:
        if word not in known:
            log.error(path, f"unknown dimension '{word}' in permutation '{text}'", did_you_mean(word, known))
    if len(set(words)) < len(words):
        log.error(path, f"a dimension occurs twice in permutation '{text}'")
    return list(dict.fromkeys(w for w in words if w in known))


def target_level(section: Section, machine: Machine) -> str | None:
    """Name of the level a directive is about: a name, or a number counted from the innermost storage."""
    value = section.take("target", "name")
    names = (*machine.storage, machine.compute)
    if value is None:
        section.required("target", "a directive")
        return None
    if isinstance(value, int) and 0 <= value < len(machine.storage):
        return machine.storage[-1 - value]
    if str(value) in names:
        return str(value)
    section.log.error(section.key_path("target" if section.has("target") else "name"), *_unknown(value, names))
    return None


def _unknown(value: Plain, names: tuple[str, ...]) -> tuple[str, str | None]:
    return (f"unknown level '{value}'", did_you_mean(str(value), names))


def known_tensors(section: Section, key: str, tensors: Iterable[str]) -> tuple[str, ...]:
    """The data spaces a key names; unknown ones are mistakes."""
    known, result = list(tensors), list[str]()
    for name in section.names(key) or ():
        if name in known:
            result.append(name)
        else:
            section.log.error(section.key_path(key), f"unknown data space '{name}'", did_you_mean(name, known))
    return tuple(result)
