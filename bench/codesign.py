"""`python bench/codesign.py DENSITY [GOAL] [SECONDS]`: the shipped joint search against random, genetic and annealing search.

Prints JSON, one line each. The others get SECONDS of one processor each (default: the processor time that the proof took): they
draw strategies, or change the best ones, and search the mapping of each with the package's searcher of the same name.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import sparseloop as sl
from sparseloop import designs as examples
from sparseloop.explore import definition as studyfile
from sparseloop.explore.codesign.relaxation import Sets, Strategies
from sparseloop.input.diagnostics import SpecError
from sparseloop.mapper.space.mapspace import mapspace

MAPPINGS = 4096
"""Of every strategy that is tried."""


def spent(what: Callable[[], Any]) -> tuple[Any, float, float]:
    """What came of it, seconds of the clock, and of processors (ended children too)."""
    wall, before = time.perf_counter(), os.times()
    result = what()
    after = os.times()
    return result, time.perf_counter() - wall, sum(after[:4]) - sum(before[:4])


class Others:
    """Strategies that are drawn, crossed or changed; the mapping of each by a searcher of its own."""

    def __init__(self, strategies: Strategies, goal: str, method: str) -> None:
        self.strategies, self.goal, self.method = strategies, goal, method
        self.rng = np.random.default_rng(0)
        self.known: list[tuple[float, Sets]] = []
        self.heat = 0.3

    def drawn(self) -> Sets:
        return tuple((int(self.rng.choice(numbers)),) for numbers in self.strategies.all)

    def next(self) -> Sets:
        """Random: drawn; genetic: two of the sixteen best crossed; annealing: the present one with one value changed."""
        if self.method == "random" or len(self.known) < 8:
            return self.drawn()
        if self.method == "genetic":
            best = sorted(self.known)[:16]
            one, two = (best[int(self.rng.integers(len(best)))][1] for _ in range(2))
            child = [a if self.rng.random() < 0.5 else b for a, b in zip(one, two, strict=True)]
        else:
            child = list(self.known[-1][1])
        at = int(self.rng.integers(len(child)))
        child[at] = (int(self.rng.choice(self.strategies.all[at])),)
        return tuple(child)

    def run(self, seconds: float) -> tuple[float, int]:
        """The best value, and strategies tried."""
        best, tried, begun = np.inf, 0, time.process_time()
        while time.process_time() - begun < seconds:
            sets = self.next()
            tried += 1
            try:
                space = mapspace(self.strategies.exact(sets))
            except SpecError:
                continue
            found = sl.search(space, minimize=self.goal, method=self.method, budget=MAPPINGS, seed=tried)
            value = np.inf if found.value is None else found.value
            self.heat *= 0.99
            worse = value - self.known[-1][0] if self.known else 0.0
            scale = self.heat * (self.known[-1][0] if self.known else 1.0)
            if self.method != "annealing" or worse <= 0 or self.rng.random() < np.exp(-worse / scale):
                self.known.append((value, sets))
            best = min(best, value)
        return float(best), tried


def main(density: str, goal: str = "energy", seconds: str = "") -> None:
    file = examples.FOLDER / "codesign.yaml"
    definition = studyfile.read_study(file, [f"spec.variables.d={density}", f"minimize={goal}"])
    found, wall, cpu = spent(lambda: sl.codesign(definition, sl.CodesignOptions(workers=2)))
    told = {"value": found.value, "bound": found.lower_bound, "proven": found.proven, "bounded": found.bounded}
    size = {"strategies": found.strategies, "mappings": found.mappings, "evaluated": found.evaluated}
    print(
        json.dumps(
            {"d": density, "goal": goal, "wall_s": round(wall, 1), "cpu_s": round(cpu, 1), **told, **size, "values": found.values}
        )
    )
    for method in ("random", "genetic", "annealing"):
        value, tried = Others(Strategies(definition.designs), goal, method).run(float(seconds) if seconds else cpu)
        print(
            json.dumps({"method": method, "value": value, "ratio": round(value / (found.value or np.nan), 4), "tried": tried}),
            flush=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
