"""`sparseloop validate timeloop`: agreement with Timeloop v3.0.3 per feature, and every known fault with its effect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sparseloop.input import terminal
from sparseloop.validation.records import ExternalData, Findings, FindingsTable, PublishedFigure, Target
from sparseloop.validation.timeloop.agreement import Agreement, measure
from sparseloop.validation.timeloop.compare import CLOSE, RELATIVE
from sparseloop.validation.timeloop.corpus import COMMITTED, GoldenCase, read_cases
from sparseloop.validation.timeloop.exceptions import EXCEPTIONS, REJECTED
from sparseloop.validation.timeloop.faults import known_faults
from sparseloop.validation.timeloop.rules import RULES

AGREEMENT = "agreement per feature (figures without a known fault)"
FAULTS = "known faults and options of Timeloop v3.0.3 (theirs / right, where a fault stands alone)"
LEFT_OUT = "figures left out of the agreement"
EXPLAINED = "differences without a known fault, explained one by one"
GENERATOR = ("noise:", "profile:", "theme:", "ref-suspect:")
"""Features that say how a case was drawn, not what it uses."""


def run(_: ExternalData) -> Findings:
    """Evaluates every case of the shipped corpus (about 35 s)."""
    return findings(measure(_shown(list(read_cases(COMMITTED))), COMMITTED.name))


def _shown(cases: list[GoldenCase]) -> Iterable[GoldenCase]:
    """The cases, with progress on stderr if somebody looks."""
    from rich.progress import track

    console = terminal.console(stderr=True)
    return track(cases, description="corpus of Timeloop v3.0.3", console=console, transient=True, disable=not console.is_terminal)


def findings(found: Agreement) -> Findings:
    """What an agreement says, as figures and tables."""
    kinds = [
        PublishedFigure(
            case=kind, figure=f"figures of {len(found.seen)} cases that agree", published=tally.compared, ours=tally.agreed
        )
        for kind, tally in sorted(found.kinds.items())
    ]
    unexplained = PublishedFigure(
        case="all", figure="differences without explanation", published=0, ours=len(found.unexplained()), limit=0.0
    )
    return Findings(
        rows=(*kinds, unexplained),
        tables=(_agreement(found), _faults(found), _left_out(found), _explained(found)),
        notes=(
            f"a figure agrees within {100 * RELATIVE:g} % or the roundings of the reference (3 events per instance); "
            f"'within {CLOSE:g}' counts those equal to {CLOSE:g}",
            "no numbers: no case of the corpus has the fault (the program ends, or a search is concerned); alone 0: it "
            "only stands beside others, a ratio is that of all of them; zero: figures that are 0 on one side; "
            "Q32, Q43 and Q49 share a label",
            *(f"refused: {case}: {REJECTED[case]}" for case in sorted(found.rejected) if case in REJECTED),
        ),
    )


def _agreement(found: Agreement) -> FindingsTable:
    rows = (
        (name, found.cases[name], tally.compared, tally.agreed, tally.agreed / tally.compared, tally.close / tally.compared)
        for name, tally in sorted(found.features.items())
        if not name.startswith(GENERATOR)
    )
    columns = ("feature", "cases", "compared", "agreeing", "share", f"within {CLOSE:g}")
    return FindingsTable(title=AGREEMENT, columns=columns, rows=tuple(rows))


def _faults(found: Agreement) -> FindingsTable:
    columns = ("fault", "Timeloop v3.0.3", "right", "cases", "figures", "alone", "median", "farthest", "zero")
    return FindingsTable(title=FAULTS, columns=columns, rows=tuple(_fault_rows(found)))


def _fault_rows(found: Agreement) -> Iterator[tuple[str | float | None, ...]]:
    for fault in known_faults():
        if not fault.labels:
            yield (fault.name, fault.timeloop, fault.right, *(None,) * 6)
            continue
        effect = found.effects.of(fault)
        counts = (len(effect.cases), effect.figures, len(effect.alone))
        yield (fault.name, fault.timeloop, fault.right, *counts, effect.median, effect.farthest, effect.zeros)


def _left_out(found: Agreement) -> FindingsTable:
    rows = tuple((rule, found.left_out[rule], reason) for rule, reason in RULES.items())
    return FindingsTable(title=LEFT_OUT, columns=("rule", "figures", "reason"), rows=rows)


def _explained(found: Agreement) -> FindingsTable:
    rows = tuple(
        (", ".join(mine), ", ".join(patterns), who, why)
        for cases, patterns, who, why in EXCEPTIONS
        if (mine := [case for case in cases if case in found.seen])
    )
    return FindingsTable(title=EXPLAINED, columns=("cases", "figures", "supports us", "why"), rows=rows)


TARGET = Target(
    name="timeloop",
    title="Timeloop/Sparseloop v3.0.3: its answers to random designs, and its known faults",
    citation="timeloop-model v3.0.3 (Parashar et al., ISPASS 2019; Wu et al., MICRO 2022), run on cases drawn for this project",
    run=run,
)
