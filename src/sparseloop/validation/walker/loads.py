"""Time for which instances wait while tiles are loaded, or results drained, that nothing overlaps with: event by event."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sparseloop.validation.walker.draw import Draw
from sparseloop.validation.walker.points import FloatArray, IntArray
from sparseloop.validation.walker.records import Ports
from sparseloop.validation.walker.residency import Deliveries, EventSet


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moved:
    """Words that pass a port, one entry per event."""

    level: int
    writes: bool
    point: IntArray
    """A point served by the event: it tells the instance."""
    step: IntArray
    """Step of the waiting level."""
    words: FloatArray


class LoadClock:
    """Waits of the instances of one level for tensors whose tiles are loaded before work on them starts.

    All instances below one instance of the outermost parent wait for each other. What arrives in one step is one load: it takes
    as long as the port with most to do, of the parents or of the fullest child. Results leave before anything arrives.
    """

    def __init__(self, draw: Draw, level: int, tensors: frozenset[str]) -> None:
        paths = draw.plan.paths
        self.draw, self.level = draw, level
        self.parents = {name: parent for name in sorted(tensors) if (parent := paths[name].parent(level)) is not None}
        self.parents = {name: parent for name, parent in self.parents.items() if level in paths[name].levels}
        self.step = draw.plan.points.step(level)

    def loads(self) -> float:
        """Cycles of all loads of one instance of the outermost parent, on average."""
        return self._time([part for name in self.parents for part in self._arriving(name)])

    def drains(self) -> float:
        """Cycles in which results are written back."""
        return self._time([part for name in self.parents for part in self._leaving(name)])

    def _time(self, parts: list[Moved]) -> float:
        if not parts:
            return 0.0
        points = self.draw.plan.points
        outermost = points.instance(min(self.parents.values()))
        words = dict[tuple[int, int], dict[tuple[int, int], list[float]]]()
        for part in parts:
            group, instance = outermost[part.point], points.instance(part.level)[part.point]
            for g, step, at, n in zip(group, part.step, instance, part.words, strict=True):
                ports = words.setdefault((int(g), int(step)), {})
                ports.setdefault((part.level, int(at)), [0.0, 0.0])[part.writes] += float(n)
        rates = self.draw.machine.ports
        every = (max(rates.get(level, Ports()).cycles(*moved) for (level, _), moved in at.items()) for at in words.values())
        return sum(every) / len(np.unique(outermost))

    def _arriving(self, name: str) -> Iterator[Moved]:
        """Reads of the parent and fills of the child, with the metadata that is read and filled for them."""
        draw, parent = self.draw, self.parents[name]
        link, access = draw.plan.paths[name].links[parent], draw.accessed(parent, name)
        begin = self.step[link.traced.first_point()]
        first = np.full(len(link.accesses.point), np.iinfo(np.int64).max)
        np.minimum.at(first, link.access_of_copy, begin)
        read = (access.read.wanted & access.real & access.again).astype(np.float64)
        yield Moved(level=parent, writes=False, point=link.accesses.point, step=first, words=read)
        filled = draw.filled(link, self.level, name).slots.astype(np.float64)
        yield Moved(level=self.level, writes=True, point=link.copies.point, step=begin, words=filled)
        yield from self._entries(name, parent)

    def _entries(self, name: str, parent: int) -> Iterator[Moved]:
        draw = self.draw
        for level, writes in ((parent, False), (self.level, True)):
            sizes = draw.machine.entries.get((level, name), ())
            for size, rank in zip(sizes, draw.plan.ranks[level, name], strict=True):
                if rank is None:
                    continue
                if draw.plan.paths[name].tensor.output:
                    raise ValueError(f"waiting for metadata of a result is not walked ({name})")
                events: EventSet = rank.fills.copies if writes and rank.fills else rank.looks.events
                words = draw.entry_slots(rank, (level, name), writes) @ np.array(size)
                yield Moved(level=level, writes=writes, point=events.point, step=self._begin(events), words=words)

    def _begin(self, events: EventSet) -> IntArray:
        first = np.full(len(events.point), np.iinfo(np.int64).max)
        np.minimum.at(first, events.of_point, self.step)
        return first

    def _leaving(self, name: str) -> Iterator[Moved]:
        """Updates of the parent when the last copy of a word leaves."""
        draw, parent = self.draw, self.parents[name]
        if not draw.plan.paths[name].tensor.output:
            return
        link: Deliveries = draw.plan.paths[name].links[parent]
        last = np.zeros(len(link.accesses.point), dtype=np.int64)
        np.maximum.at(last, link.access_of_copy, self.step[link.traced.last_point()])
        access = draw.accessed(parent, name)
        written = (access.written.wanted & access.real).astype(np.float64)
        yield Moved(level=parent, writes=True, point=link.accesses.point, step=last, words=written)
