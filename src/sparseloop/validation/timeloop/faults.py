"""The known faults of Timeloop v3.0.3, and how far each moves the figures of the corpus."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files

from sparseloop.validation.timeloop.compare import Figure
from sparseloop.validation.timeloop.corpus import EVERY_PATH, GoldenCase

OWN_READING = frozenset({"Q7", "Q7u", "Q11"})
"""Faults whose rule the comparison takes over: their effect is measured against our own reading."""
NO_FAULT = frozenset({"S-unchecked"})
"""Labels of paths that nobody judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault (or option): what Timeloop does, what is right, and the corpus's labels for it."""

    name: str
    labels: tuple[str, ...]
    timeloop: str
    right: str


@dataclass(slots=True)
class FaultEffect:
    """What was measured of one label: figures it stands on, and theirs / ours where these differ."""

    cases: set[str] = field(default_factory=set[str])
    figures: int = 0
    alone: list[float] = field(default_factory=list[float])
    """Ratios where no other label stands."""
    beside: list[float] = field(default_factory=list[float])
    """Ratios where others stand too."""
    zeros: int = 0
    """Figures that are 0 on one side."""

    def add(self, figure: Figure, ours: float, alone: bool) -> None:
        """Counts one labelled figure."""
        self.figures += 1
        if not figure.differs_from(ours):
            return
        if min(figure.theirs, ours) <= 0.0:
            self.zeros += 1
        else:
            (self.alone if alone else self.beside).append(figure.theirs / ours)

    @property
    def ratios(self) -> list[float]:
        """Those where it stands alone; of a label that never does, all."""
        return self.alone or self.beside

    @property
    def median(self) -> float | None:
        """Median of theirs / ours."""
        return statistics.median(self.ratios) if self.ratios else None

    @property
    def farthest(self) -> float | None:
        """The ratio farthest from 1."""
        return max(self.ratios, key=lambda ratio: abs(math.log(ratio)), default=None)


@dataclass(slots=True)
class FaultEffects:
    """Effects of all labels over the cases added."""

    by_label: dict[str, FaultEffect] = field(default_factory=dict[str, FaultEffect])

    def see(self, case: GoldenCase) -> None:
        """Notes which labels the case has, compared or not."""
        for given in case.given_labels.values():
            for label in given:
                self.by_label.setdefault(label, FaultEffect()).cases.add(case.id)

    def add(self, case: GoldenCase, figure: Figure) -> None:
        """Counts one figure for each of its labels."""
        labels = labels_of(case, figure)
        for label in labels:
            ours = figure.sound if label in OWN_READING and figure.sound is not None else figure.ours
            self.by_label[label].add(figure, ours, alone=len(labels) == 1)

    def of(self, fault: Fault) -> FaultEffect:
        """The effects of its labels together."""
        found = [self.by_label[label] for label in fault.labels if label in self.by_label]
        return FaultEffect(
            cases=set[str]().union(*(effect.cases for effect in found)),
            figures=sum(effect.figures for effect in found),
            alone=[ratio for effect in found for ratio in effect.alone],
            beside=[ratio for effect in found for ratio in effect.beside],
            zeros=sum(effect.zeros for effect in found),
        )


def labels_of(case: GoldenCase, figure: Figure) -> frozenset[str]:
    """The faults noted for a figure, those of the whole case included."""
    none = frozenset[str]()
    return (case.labels.get(figure.path, none) | case.labels.get(EVERY_PATH, none)) - NO_FAULT


def known_faults() -> tuple[Fault, ...]:
    """The shipped list."""
    text = files("sparseloop.validation").joinpath("tables/timeloop_faults.csv").read_text(encoding="utf-8")
    return tuple(_faults(csv.DictReader(text.splitlines())))


def _faults(rows: Iterable[dict[str, str]]) -> Iterator[Fault]:
    for row in rows:
        yield Fault(name=row["fault"], labels=tuple(row["labels"].split()), timeloop=row["timeloop"], right=row["right"])
