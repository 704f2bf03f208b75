"""`sparseloop compare`: the numbers of Timeloop's own output beside ours, and the fault behind each difference."""

from __future__ import annotations

import json
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from sparseloop.cli.options import FormOption, Overrides
from sparseloop.cli.output import print_table, terminal_width, warn
from sparseloop.input.diagnostics import Diagnostic, SpecError
from sparseloop.report.borders import write_csv
from sparseloop.validation.timeloop import stats_output as stats

if TYPE_CHECKING:
    from sparseloop.input.spec import Spec
    from sparseloop.validation.timeloop.causes import Cause
    from sparseloop.validation.timeloop.compare import Evaluation, Figure

COLUMNS = ("level", "tensor", "figure", "theirs", "ours", "ratio", "faults", "possible")
SHOWN = 4
"""Possible faults that a line of the table names."""
NOTE = "counts per instance, energies per level; ratio: Timeloop / ours"
PRINTED_UJ = 0.005
"""Rounding of the energy in the summary of a stats file."""
EACH, TOTAL = "energy_per_instance", "energy_total"
WHOLE = "(all)"
"""The level of figures of the whole design."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareArguments:
    """The arguments of `sparseloop compare`."""

    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE... STATS", help="Timeloop or native YAML; last a .stats.txt or .map+stats.xml of Timeloop."),
    ]
    overrides: Overrides = None
    native: Annotated[bool, typer.Option("--native", help="Read the sparse features by our rules instead of Timeloop's.")] = False
    everything: Annotated[bool, typer.Option("--all", help="Also the numbers that agree.")] = False
    form: FormOption = "table"
    summary: Annotated[bool, typer.Option("--summary", help="Only how many numbers agree.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedFigure:
    """One number: theirs, ours, theirs / ours, the faults that give their number, and those that may be behind it."""

    level: str
    tensor: str
    figure: str
    theirs: float
    ours: float
    ratio: float | None
    agrees: bool
    faults: tuple[str, ...] = ()
    possible: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All numbers that both sides state."""

    rows: tuple[ComparedFigure, ...]
    left_out: tuple[str, ...]
    """What only one side states, and what is assumed about the design."""

    @property
    def different(self) -> tuple[ComparedFigure, ...]:
        """Those that differ."""
        return tuple(row for row in self.rows if not row.agrees)


def print_comparison(arguments: CompareArguments) -> None:
    """Reads both sides and prints them."""
    if len(arguments.files) < 2:
        raise SpecError([Diagnostic(message="too few arguments: sparseloop compare FILE... STATS", hint=stats.HINT)])
    files, path = _sides(arguments.files)
    compared = comparison(files, path, arguments.overrides or (), native=arguments.native)
    warn(compared.left_out)
    rows = compared.rows if arguments.everything else compared.different
    if arguments.form == "json":
        record = {"compared": len(compared.rows), "different": len(compared.different), "rows": [asdict(row) for row in rows]}
        record |= {"faults": _legend(rows), "warnings": list(compared.left_out)}
        print(json.dumps(record, indent=2, ensure_ascii=False))
    elif arguments.form == "csv":
        _csv(rows)
    else:
        if rows and not arguments.summary:
            _print_table(compared, rows)
        print(textwrap.fill(_totals(compared), terminal_width()))


def _sides(files: Sequence[str]) -> tuple[list[str], Path]:
    """The files of the design, and the output: the one that is called like one, else the last."""
    outputs = [file for file in files if file.endswith((".stats.txt", ".xml"))]
    output = outputs[0] if len(outputs) == 1 else files[-1]
    return [file for file in files if file is not output], Path(output)


def comparison(files: Sequence[str], path: Path, overrides: Sequence[str] = (), *, native: bool = False) -> Comparison:
    """Timeloop's figures in `path` beside ours of the design in `files`; raises `SpecError` with the mistakes of both."""
    wrong: list[Diagnostic] = []
    spec, figures = None, None
    try:
        spec = _single_layer(files, overrides)
    except SpecError as error:
        wrong += error.diagnostics
    try:
        figures = stats.read_stats(path, _data_spaces(files, overrides, spec) if spec else ())
    except SpecError as error:
        wrong += error.diagnostics if spec or path.suffix != ".xml" else ()
    if spec is None or figures is None:
        raise SpecError(wrong)
    evaluation, left_out = _evaluated(spec, figures, path, native)
    return Comparison(rows=tuple(_rows(evaluation)), left_out=tuple(left_out))


def _single_layer(files: Sequence[str], overrides: Sequence[str]) -> Spec:
    from sparseloop.evaluation.evaluate import design_of, own_mapping
    from sparseloop.input.load import load

    specs = list(load(*files, overrides=overrides).per_layer())
    if len(specs) > 1:
        raise SpecError([Diagnostic(message=f"{len(specs)} layers: the output of Timeloop is of one", path=("layers",))])
    own_mapping(design_of(specs[0]))
    return specs[0]


def _data_spaces(files: Sequence[str], overrides: Sequence[str], spec: Spec) -> tuple[str, ...]:
    """Names of the data spaces in the order of Timeloop's problem; else inputs, then the output."""
    from sparseloop.evaluation.evaluate import design_of
    from sparseloop.input.yaml.files import load_files

    def named(value: Any) -> list[Any] | None:
        if not isinstance(value, dict):
            return None
        for key, inner in cast(dict[str, Any], value).items():
            found = inner if key.lower().replace("-", "_") == "data_spaces" else named(inner)
            if isinstance(found, list):
                return cast(list[Any], found)
        return None

    spaces = named(load_files([Path(file) for file in files], overrides)[0].get("problem")) or []
    names = tuple(str(cast(dict[str, Any], one).get("name")) for one in spaces if isinstance(one, dict))
    tensors = sorted(design_of(spec).einsum.tensors, key=lambda tensor: tensor.output)
    ours = tuple(tensor.name for tensor in tensors)
    return names if sorted(names) == sorted(ours) else ours


def _evaluated(spec: Spec, figures: stats.StatsFigures, path: Path, native: bool) -> tuple[Evaluation, list[str]]:
    """Our side, and what of theirs has no counterpart."""
    from sparseloop.evaluation.evaluate import design_of, own_mapping
    from sparseloop.model.pipeline import cost_of_design
    from sparseloop.validation.timeloop.compare import Evaluation
    from sparseloop.validation.timeloop.corpus import GoldenCase

    design = design_of(spec.model_copy(update={"reading": "native"}).with_source(spec.source) if native else spec)
    ours = [level.name for level in design.arch.storage]
    storage: list[stats.StatsFigures] = figures["levels"][1:]
    common = [level for level in storage if level["name"] in ours]
    if not common:
        theirs = ", ".join(level["name"] for level in storage) or "none"
        hint = "the design and the output must belong together, with the same names"
        message = f"{path.name} and the design have no storage level in common: theirs {theirs}; ours {', '.join(ours)}"
        raise SpecError([Diagnostic(message=message, hint=hint)])
    names = {tensor.name for tensor in design.einsum.tensors}
    left_out = [f"{path.name}: level {level['name']} is not in the design" for level in storage if level not in common]
    left_out += [f"level {name} is not in {path.name}" for name in ours if name not in {level["name"] for level in common}]
    unknown = {name for level in common for name in level["dataspaces"]} - names
    left_out += [f"{path.name}: {name} is no tensor of the design" for name in sorted(unknown)]
    if not figures.get("whole", True):
        left_out.append(f"{path.name} has no summary at its end: is it cut off?")
    expected = figures | {"levels": [figures["levels"][0], *common]}
    case = GoldenCase(id=path.name, features=(), inputs={}, expected=expected, given_labels={})
    mapping = own_mapping(design)
    plan, cost = cost_of_design(design)
    return Evaluation(case=case, plan=plan, cost=cost, mapping=mapping), [*design.warnings, *left_out]


def _rows(evaluation: Evaluation) -> list[ComparedFigure]:
    from sparseloop.validation.timeloop.causes import causes, of_leakage

    rows, behind = list[ComparedFigure](), Counter["Cause"]()
    for figure in (*evaluation.figures, *evaluation.network_energies, *evaluation.conventions):
        if figure.path.endswith(EACH) and figure.path.replace(EACH, TOTAL) in evaluation.by_path:
            continue  # the total says the same
        ours = figure.ours if figure.sound is None else figure.sound
        found = causes(evaluation, figure) if figure.differs_from(ours) else ()
        exact = replace(figure, unit=0.0)
        if figure.kind == "energy" and not figure.differs_from(ours) and exact.differs_from(ours):
            found = tuple(cause for cause in causes(evaluation, exact) if cause.sure)  # a few accesses, but a rule of prices
            figure = exact if found else figure
        if figure.kind in ("energy", "network", "hops", "leakage"):
            behind.update(found)
        rows.append(_row(figure, ours, found))
    if energy := _whole(evaluation):
        behind.update(of_leakage(evaluation, energy))
        found = _of_a_sum([cause for cause, _ in behind.most_common()]) if energy.differs_from(energy.ours) else ()
        rows.insert(0, _row(energy, energy.ours, found))
    rows.sort(key=lambda row: row.level != WHOLE)
    return rows


def _whole(evaluation: Evaluation) -> Figure | None:
    """The energy of the whole design, which a stats file states in whole hundredths of a microjoule."""
    from sparseloop.validation.timeloop.compare import ROUNDING_SLACK, Figure

    theirs = evaluation.case.expected["overall"].get("energy_pJ")
    if theirs is None:
        return None
    unit = PRINTED_UJ * stats.MICROJOULE / ROUNDING_SLACK["energy"]
    return Figure(path="overall/energy_pJ", kind="energy", ours=float(evaluation.cost.energy_pj), theirs=theirs, unit=unit)


def _row(figure: Figure, ours: float, found: Sequence[Any]) -> ComparedFigure:
    parts = figure.path.split("/")
    level, rest = (WHOLE, parts[1:]) if parts[0] == "overall" else (parts[1], parts[2:])
    tensor, rest = (rest[1], rest[2:]) if rest[0] == "dataspaces" else ("", rest[1:] if rest[0] == "stats" else rest)
    return ComparedFigure(
        level=level,
        tensor=tensor,
        figure=" ".join(_words(rest)),
        theirs=figure.theirs,
        ours=ours,
        ratio=figure.theirs / ours if ours else None,
        agrees=not figure.differs_from(ours),
        faults=tuple(cause.name for cause in found if cause.sure),
        possible=tuple(cause.name for cause in found if not cause.sure),
    )


def _words(names: Sequence[str]) -> list[str]:
    """A figure's name as the stats file says it; metadata with its rank and kind."""
    name = names[0].replace("_per_instance", " (per-instance)").replace("_total", " (total)").replace("_", " ")
    return [name, names[1], ("metadata", "payload")[int(names[2])]] if len(names) == 3 else [name]


def _of_a_sum(found: Sequence[Cause]) -> tuple[Cause, ...]:
    """The causes of a sum, each once: given exactly only if those of all its parts are."""
    sure = all(cause.sure for cause in found)
    return tuple(found) if sure else tuple(dict.fromkeys(replace(cause, sure=False) for cause in found))


# --- writing ------------------------------------------------------------------------------------------------


def _legend(rows: Sequence[ComparedFigure]) -> dict[str, str]:
    """What the faults that some row names are."""
    from sparseloop.validation.timeloop.faults import known_faults

    named = {name for row in rows for name in (*row.faults, *row.possible)}
    return {fault.name: f"{fault.timeloop}; right: {fault.right}" for fault in known_faults() if fault.name in named}


def _csv(rows: Sequence[ComparedFigure]) -> None:
    cells = (
        (row.level, row.tensor, row.figure, row.theirs, row.ours, row.ratio, " ".join(row.faults), " ".join(row.possible))
        for row in rows
    )
    write_csv(sys.stdout, COLUMNS, cells)


def _print_table(compared: Comparison, rows: Sequence[ComparedFigure]) -> None:
    """The rows as a table, with what the faults are that it names."""
    from sparseloop.report.datatable import DataTable, columns

    few = [replace(row, possible=row.possible[:SHOWN]) for row in rows]
    cells = [_cells(row, cut=shorter != row) for row, shorter in zip(few, rows, strict=True)]
    title = "Differences" if len(rows) < len(compared.rows) else "All numbers"
    names = columns("*level", "*tensor", "*figure", "Timeloop", "ours", "ratio", "~fault")
    shown = len(names) if any(row[-1] for row in cells) else len(names) - 1
    print_table(DataTable(title=title, columns=names[:shown], rows=tuple(row[:shown] for row in cells), note=NOTE))
    for name, text in _legend(few).items():
        print(textwrap.fill(f"{name}: {text}", terminal_width(), subsequent_indent="    "))


def _cells(row: ComparedFigure, *, cut: bool) -> tuple[str, ...]:
    figure = row.figure.replace("scalar ", "").replace(" (per-instance)", "")
    numbers = (f"{row.theirs:.6g}", f"{row.ours:.6g}", "" if row.ratio is None else f"{row.ratio:.3g}")
    faults = (*row.faults, *(f"{name}?" for name in row.possible), *(["..."] if cut else []))
    return row.level, row.tensor, figure, *numbers, " ".join(faults)


def _totals(compared: Comparison) -> str:
    """'19 of 21 numbers agree; of the 2 others a known fault gives 2 exactly'."""
    equal, differ = len(compared.rows) - len(compared.different), len(compared.different)
    text = f"{equal} of {len(compared.rows)} numbers agree"
    if not differ:
        return text
    named = sum(bool(row.faults) for row in compared.different)
    maybe = sum(bool(row.possible) and not row.faults for row in compared.different)
    return f"{text}; of the {differ} others a known fault gives {named} exactly and may stand behind {maybe} ('?')"
