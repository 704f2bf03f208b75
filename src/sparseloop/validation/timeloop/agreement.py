"""Measured agreement over a corpus: per kind of figure, per feature, per rule, and what disagrees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from sparseloop.input.diagnostics import SpecError
from sparseloop.validation.timeloop.compare import CLOSE, Figure, evaluate_case
from sparseloop.validation.timeloop.corpus import GoldenCase
from sparseloop.validation.timeloop.exceptions import EXCEPTIONS, REJECTED
from sparseloop.validation.timeloop.faults import FaultEffects
from sparseloop.validation.timeloop.rules import RULES, rule_for


@dataclass
class MatchCount:
    """How many figures were compared, agreed, and were equal within 1e-3."""

    compared: int = 0
    agreed: int = 0
    close: int = 0

    def add(self, figure: Figure) -> None:
        """Counts one figure."""
        self.compared += 1
        self.agreed += figure.agrees
        self.close += figure.close

    def __str__(self) -> str:
        share, close = (100.0 * n / max(1, self.compared) for n in (self.agreed, self.close))
        return f"{self.agreed:>7} of {self.compared:>7} {share:8.3f} %   within {CLOSE:g}: {close:7.2f} %"


@dataclass
class Agreement:
    """Everything measured on one corpus file."""

    name: str
    kinds: dict[str, MatchCount] = field(default_factory=dict[str, MatchCount])
    features: dict[str, MatchCount] = field(default_factory=dict[str, MatchCount])
    left_out: Counter[str] = field(default_factory=Counter[str])
    seen: set[str] = field(default_factory=set[str])
    rejected: set[str] = field(default_factory=set[str])
    invalid: set[str] = field(default_factory=set[str])
    disagreements: list[tuple[str, Figure]] = field(default_factory=list[tuple[str, Figure]])
    cases: Counter[str] = field(default_factory=Counter[str])
    """How many cases have a feature."""
    effects: FaultEffects = field(default_factory=FaultEffects)

    def add(self, case: GoldenCase) -> None:
        """Evaluates one case and compares its figures."""
        self.seen.add(case.id)
        try:
            evaluation = evaluate_case(case)
        except SpecError:
            self.rejected.add(case.id)
            return
        if int(evaluation.cost.status):
            self.invalid.add(case.id)
        self.cases.update(case.features)
        self.effects.see(case)
        for figure in evaluation.figures:
            self.effects.add(case, figure)
            rule = rule_for(case, figure)
            if rule is not None:
                self.left_out[rule] += 1
                continue
            self.kinds.setdefault(figure.kind, MatchCount()).add(figure)
            for feature in case.features:
                self.features.setdefault(feature, MatchCount()).add(figure)
            if not figure.agrees:
                self.disagreements.append((case.id, figure))

    def unexplained(self) -> list[str]:
        """Disagreements without an entry in the table of exceptions."""
        return [_line(case, figure) for case, figure in self.disagreements if not _excepted(case, figure)]

    def idle_exceptions(self) -> list[str]:
        """Entries of that table that nothing needs (for cases of this corpus)."""
        patterns = [(case, pattern) for cases, patterns, _, _ in EXCEPTIONS for case in cases for pattern in patterns]
        differing: dict[str, list[str]] = {}
        for case, figure in self.disagreements:
            differing.setdefault(case, []).append(figure.path)
        return [
            f"{case} {pattern}"
            for case, pattern in patterns
            if case in self.seen and not any(fnmatchcase(path, pattern) for path in differing.get(case, ()))
        ]

    def report(self) -> list[str]:
        """Lines for the terminal."""
        lines = [f"{self.name}: {len(self.seen)} cases, {len(self.rejected)} rejected, {len(self.disagreements)} differences"]
        lines += [f"  {kind:<34}{tally}" for kind, tally in self.kinds.items()]
        lines += [f"  not compared: {rule:<20}{self.left_out[rule]:>7}" for rule in RULES]
        lines.append("  per feature:")
        lines += [f"  {feature:<34}{tally}" for feature, tally in sorted(self.features.items())]
        return lines


def measure(cases: Iterable[GoldenCase], name: str) -> Agreement:
    """Evaluates every case of a corpus."""
    result = Agreement(name=name)
    for case in cases:
        result.add(case)
    return result


def _excepted(case: str, figure: Figure) -> bool:
    return any(
        case in cases and any(fnmatchcase(figure.path, pattern) for pattern in patterns) for cases, patterns, _, _ in EXCEPTIONS
    )


def _line(case: str, figure: Figure) -> str:
    return f"{case} {figure.path}: {figure.ours:.6g}, reference {figure.theirs:.6g}"


__all__ = ["REJECTED", "Agreement", "measure"]
