"""Random specifications for a time: model against walker, and what disagrees made as small as it goes.

python -m tests.property.fuzz.run --minutes 10 [--seed 7] [--workers 2] [--kind NAME | --measure NAME] [--case SEED] [--all]
"""

from __future__ import annotations

import argparse
import re
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field

from tests.property.fuzz.drawing import draw, small
from tests.property.fuzz.files import from_files, through_files
from tests.property.fuzz.judging import Difference, Verdict, from_records, judge, seed_of
from tests.property.fuzz.kinds import Kind, Sorted, causes, event_of, signature, sort_differences
from tests.property.fuzz.native import printed
from tests.property.fuzz.registry import APPROXIMATIONS, OPEN
from tests.property.fuzz.shrinking import smallest
from tests.property.fuzz.specification import Specification

BATCH = 12
"""Specifications that a worker judges at a time."""
SHRINKING_SECONDS = 45.0
EXAMPLES = 2
"""Examples of one kind of disagreement that are made smaller."""


@dataclass(frozen=True)
class Options:
    """What is drawn and what is excused."""

    seed: str
    kind: str = ""
    """Only specifications of the open kind or approximation of this name."""
    everything: bool = False
    """Open kinds are reported like any other disagreement."""
    measured: str = ""
    """Only specifications of the approximation of this name, whose error is all that it may excuse."""

    @property
    def excuses(self) -> tuple[Kind, ...]:
        """The kinds that excuse differences, the measured one first; if one is looked for, all others."""
        kinds = [k for k in (*OPEN, *APPROXIMATIONS) if k.name != self.kind and (k.error is not None or not self.everything)]
        return tuple(sorted(kinds, key=lambda k: k.name != self.measured))

    def wants(self, spec: Specification) -> bool:
        """Is it of the kind that is looked for or measured, if any is?"""
        wanted = self.kind or self.measured
        return not wanted or any(k.applies(spec) for k in (*OPEN, *APPROXIMATIONS) if k.name == wanted)


@dataclass(frozen=True)
class Outcome:
    """What became of one specification."""

    seed: str
    compared: int
    refused: str
    sorted: Sorted

    @property
    def signature(self) -> str:
        """What kind of disagreement it is: the events that differ."""
        return signature(self.sorted.left)


@dataclass
class Tally:
    """Everything counted so far."""

    tried: int = 0
    compared: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    open: Counter[str] = field(default_factory=Counter)
    errors: dict[str, list[float]] = field(default_factory=dict)
    worst: dict[str, str] = field(default_factory=dict)
    """Approximation to the seed with its largest error."""
    found: dict[str, list[str]] = field(default_factory=dict)
    """Signature to the seeds that have it."""
    smallest: dict[str, str] = field(default_factory=dict)
    """Seed to the text of the smallest specification."""

    def add(self, outcome: Outcome) -> None:
        """Counts one more specification."""
        self.tried += 1
        self.compared += outcome.compared
        if outcome.refused:
            self.refused[outcome.refused] += 1
        self.open.update(outcome.sorted.open)
        for name, error in outcome.sorted.approximate:
            if error > max(self.errors.setdefault(name, []), default=0.0):
                self.worst[name] = outcome.seed
            self.errors[name].append(error)
        if outcome.sorted.left:
            self.found.setdefault(outcome.signature, []).append(outcome.seed)


# --- what a worker does -------------------------------------------------------------------------------------


def compared(spec: Specification, seed: str, options: Options) -> Verdict:
    """A third of the specifications that a file can express goes through one."""
    number = seed_of(seed)
    model = from_files if number % 3 == 0 and through_files(spec) else from_records
    applying = [kind for kind in options.excuses if kind.applies(spec)]
    return judge(spec, number, model, lambda name: any(kind.covers(name) for kind in applying))


def outcome_of(seed: str, options: Options) -> Outcome | None:
    """None for what is too large, or not of the wanted kind."""
    spec = draw(seed)
    if not small(spec):
        return None
    if not options.wants(spec):
        return None
    verdict = compared(spec, seed, options)
    sorted_ = sort_differences(spec, verdict.differences, dict(verdict.walked), options.excuses)
    return Outcome(seed, verdict.compared, verdict.refused, sorted_)


def outcomes(seeds: Sequence[str], options: Options) -> list[Outcome]:
    """A batch of specifications."""
    return [outcome for seed in seeds if (outcome := outcome_of(seed, options)) is not None]


def minimised(seed: str, options: Options) -> str:
    """The smallest specification with the same kind of disagreement, as text with the counts that differ."""
    spec = draw(seed)

    def left(candidate: Specification) -> tuple[Difference, ...]:
        verdict = compared(candidate, seed, options)
        return sort_differences(candidate, verdict.differences, dict(verdict.walked), options.excuses).left

    def events(candidate: Specification) -> set[str]:
        return {event_of(re.sub(r"\d+", "_", d.name) if d.crash else d.name) for d in causes(left(candidate))}

    wanted = events(spec)
    found = smallest(spec, lambda c: bool(events(c) & wanted), SHRINKING_SECONDS)
    lines = [str(d) for d in left(found)]
    return printed(found) + "".join(f"# {line}\n" for line in lines[:12])


# --- the run ------------------------------------------------------------------------------------------------


def run(options: Options, minutes: float, workers: int) -> Tally:
    """Draws until the time is up; whoever disagrees first in a new way is made smaller on the way."""
    tally, end, number = Tally(), time.monotonic() + 60 * minutes, 0
    shown = time.monotonic()
    with ProcessPoolExecutor(workers) as pool:
        running = dict[Future[list[Outcome]] | Future[str], str]()
        waiting = list[str]()
        while time.monotonic() < end or running:
            while waiting and sum(map(bool, running.values())) < max(1, workers // 2):
                next_one = waiting.pop(0)
                running[pool.submit(minimised, next_one, options)] = next_one
            while len(running) < workers + 1 and time.monotonic() < end:
                seeds = [f"{options.seed}:{number + i}" for i in range(BATCH)]
                number += BATCH
                running[pool.submit(outcomes, seeds, options)] = ""
            done, _ = wait(running, timeout=5.0, return_when=FIRST_COMPLETED)
            for future in done:
                seed = running.pop(future)
                if seed:
                    tally.smallest[seed] = str(future.result())
                    continue
                for outcome in _listed(future.result()):
                    tally.add(outcome)
                    if outcome.sorted.left and len(tally.found[outcome.signature]) <= EXAMPLES:
                        waiting.append(outcome.seed)
            if time.monotonic() - shown > 30:
                shown = time.monotonic()
                print(_progress(tally, end - shown), file=sys.stderr, flush=True)
    return tally


def _listed(result: list[Outcome] | str) -> list[Outcome]:
    assert isinstance(result, list)
    return result


def _progress(tally: Tally, left: float) -> str:
    disagreeing = sum(map(len, tally.found.values()))
    return (
        f"{tally.tried} specifications, {tally.compared} counts, {disagreeing} disagree in {len(tally.found)} ways, "
        f"{max(0.0, left):.0f} s left"
    )


def report(tally: Tally, options: Options) -> Iterator[str]:
    """The lines printed at the end."""
    yield f"seed {options.seed}"
    yield f"specifications tried: {tally.tried}"
    yield f"counts compared: {tally.compared}"
    yield f"refused: {sum(tally.refused.values())}"
    yield from (f"  {count:6} {reason}" for reason, count in tally.refused.most_common())
    if tally.errors:
        yield "approximations (differences within five standard errors count as none):"
        for name, errors in sorted(tally.errors.items()):
            worst = f"worst {max(errors):.1%} ({tally.worst.get(name, 'none')})"
            yield f"  {name}: mean {sum(errors) / len(errors):.2%}, {worst} of {len(errors)} specifications"
    if tally.open:
        yield "open faults that were met:"
        yield from (f"  {count:6} {name}" for name, count in tally.open.most_common())
    for events, seeds in sorted(tally.found.items(), key=lambda item: -len(item[1])):
        yield f"\n=== {len(seeds)} disagree: {events}"
        for seed in seeds[:EXAMPLES]:
            yield f"--- again with --case {seed}"
            yield tally.smallest.get(seed, "").rstrip()
    yield f"disagreements: {sum(map(len, tally.found.values()))} in {len(tally.found)} ways"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 1 if anything disagrees."""
    parser = argparse.ArgumentParser(prog="make fuzz", description="The model against the walker on random specifications.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", default=None, help="a fresh one if left out; printed at the end")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kind", default="", choices=["", *(k.name for k in (*OPEN, *APPROXIMATIONS))], metavar="NAME")
    parser.add_argument("--measure", default="", choices=["", *(k.name for k in APPROXIMATIONS)], metavar="NAME")
    parser.add_argument("--case", default=None, help="judge and minimise one specification again")
    parser.add_argument("--all", action="store_true", help="report open faults too")
    given = parser.parse_args(arguments)
    options = Options(given.seed or secrets.token_hex(4), given.kind, given.all, given.measure)
    if given.case:
        outcome = outcome_of(given.case, options)
        print(minimised(given.case, options) if outcome and outcome.sorted.left else f"agrees: {outcome}")
        return int(bool(outcome and outcome.sorted.left))
    tally = run(options, given.minutes, given.workers)
    print("\n".join(report(tally, options)))
    return int(bool(tally.found))


if __name__ == "__main__":
    sys.exit(main())
