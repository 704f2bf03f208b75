"""What is known of the designs of a study that are equal but for numbers of their levels: each level by what it depends on."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sparseloop.evaluation.cache_key import KeyParts, key_parts
from sparseloop.explore.conditions import Value
from sparseloop.explore.grouping.dependence import PartedValues, Place
from sparseloop.input.spec import LevelSpec, Spec
from sparseloop.model.design import Design
from sparseloop.model.design.arch import Level
from sparseloop.model.design.counting_key import counting_key


class KnownLevel(NamedTuple):
    """A level with the digest of what it was made from."""

    record: Level
    digest: str


class KnownMachine(NamedTuple):
    """What concerns all levels."""

    clock_hz: float
    digest: str


class PutTogether(NamedTuple):
    """A design of the group as its parts."""

    levels: tuple[KnownLevel, ...]
    machine: KnownMachine
    parts: KeyParts


LevelKey = tuple[tuple[Value, ...], tuple[Value, ...]]
"""The values that a level depends on: of the machine, and its own."""


@dataclass
class DesignGroup:
    """Designs that differ in numbers of their levels only."""

    design: Design
    """The first one."""
    entries: tuple[int, ...]
    """Of every level: its place among levels and fanouts."""
    own: tuple[int | None, ...]
    """Of every level: which of the places that parameters change it is; None: none of them."""
    parts: KeyParts
    """Of the first design."""
    counted: tuple[Hashable, ...]
    """Of every level: what counts depend on."""
    alike: bool = True
    """False: some have other counts than the first."""
    machines: dict[tuple[Value, ...], KnownMachine] = field(default_factory=dict[tuple[Value, ...], KnownMachine])
    levels: tuple[dict[LevelKey, KnownLevel], ...] = ()

    @staticmethod
    def of(spec: Spec, design: Design, places: Sequence[Place]) -> DesignGroup:
        """The group of a first design."""
        written = spec.architecture.levels
        entries = tuple(i for i, entry in enumerate(written) if isinstance(entry, LevelSpec))
        at = {place: number for number, place in enumerate(places)}
        own = tuple(at.get(written[i].name, at.get(i)) for i in entries)
        counted = tuple(map(counting_key, design.arch.levels))
        return DesignGroup(design, entries, own, key_parts(spec), counted, levels=tuple({} for _ in entries))

    def learn(self, values: PartedValues, spec: Spec, design: Design) -> None:
        """Remembers every level of a design."""
        parts = key_parts(spec)
        self.machines[values.machine] = KnownMachine(design.arch.clock_hz, parts.machine)
        for number, (known, entry) in enumerate(zip(self.levels, self.entries, strict=True)):
            level = KnownLevel(design.arch.levels[number], parts.levels[entry])
            if known.setdefault(self._key(values, number), level) is level:
                self.alike = self.alike and counting_key(level.record) == self.counted[number]

    def put_together(self, values: PartedValues) -> PutTogether | None:
        """A design from levels that are known; None if one is not."""
        machine = self.machines.get(values.machine)
        levels = [known.get(self._key(values, number)) for number, known in enumerate(self.levels)]
        if machine is None or None in levels:
            return None
        found = tuple(level for level in levels if level is not None)
        digests = list(self.parts.levels)
        for entry, level in zip(self.entries, found, strict=True):
            digests[entry] = level.digest
        return PutTogether(found, machine, KeyParts(tuple(digests), machine.digest, self.parts.rest))

    def _key(self, values: PartedValues, level: int) -> LevelKey:
        own = self.own[level]
        return values.machine, () if own is None else values.levels[own]
