"""Gamma's cycles on squares of graphs: given operands, the result computed, mergers of 64 lists."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from sparseloop.designs import FOLDER
from sparseloop.evaluation.evaluate import evaluate
from sparseloop.evaluation.result import Result
from sparseloop.input.diagnostics import Diagnostic, SpecError
from sparseloop.input.load import load
from sparseloop.model.density import Coordinates, load_data
from sparseloop.validation.records import ExternalData, Findings, FindingsTable, PublishedFigure, Target
from sparseloop.validation.shipped import error, table

LIMIT = 0.085
"""The claim under test: as near as a simulator, which is 3.4, 6.5 and 8.2 % off."""
EXACT = 1e-9
"""Counts of given data are exact."""
PES = 32
SOURCE = "https://sparse.tamu.edu/SNAP"


def findings(sources: ExternalData) -> Findings:
    """Of the matrices that are there."""
    published = table("gamma")
    if sources.matrices is None:
        names = ", ".join(f"{row['matrix']}.mtx" for row in published)
        return Findings(skipped=(f"the graphs are not shipped: name their folder with --matrices ({names}; {SOURCE})",))
    rows, lines, skipped = list[PublishedFigure](), list[tuple[str | float | None, ...]](), list[str]()
    for one in published:
        file = _file(sources.matrices, one["matrix"])
        if file is None:
            skipped.append(f"{one['matrix']}.mtx (or .mtx.gz): not in {sources.matrices}; it is at {SOURCE}")
            continue
        result = squared(file, int(one["nonzeros"]))
        rows += _rows(one, result)
        lines.append(_line(one, result))
    columns = ("matrix", "published", "TeAAL, error", "ours, error", "DRAM", "mergers", "limited by")
    cycles = [row.error for row in rows if row.figure == "cycles"]
    theirs = [float(row["teaal_cycles"]) / float(row["cycles"]) - 1 for row in published]
    notes = (f"cycles: {error(cycles)}; TeAAL, a simulator, on all three: {error(theirs)}", *NOTES) if cycles else ()
    tables = (FindingsTable(title="cycles by what takes them", columns=columns, rows=tuple(lines)),) if lines else ()
    return Findings(rows=tuple(rows), tables=tables, notes=notes, skipped=tuple(skipped))


NOTES = (
    "the result is computed from the operands; nothing is fitted, and nothing differs from one matrix to the next but its size",
    "a row with more than 64 lists passes the merger twice with all its words: ours and TeAAL's counts differ by how many lists, "
    "and how many of the words that merging has joined, pass again",
    "limited by the DRAM: words of 8 bytes, coordinates and offsets of 4, at the full rate; the machine, like any, reaches less",
    "B is fetched whole; the machine fetches only rows that some column of A names, which is 1.8 % of the time of p2p-Gnutella31",
)


def _file(folder: Path, name: str) -> Path | None:
    files = (folder / f"{name}.mtx", folder / f"{name}.mtx.gz")
    return next((file for file in files if file.is_file()), None)


def squared(file: Path, nonzeros: int) -> Result:
    """The design on the product of a matrix with itself; a mistake if the file has another number of non-zeros."""
    with TemporaryDirectory() as folder:
        plain = file
        if file.suffix == ".gz":
            plain = Path(folder) / file.stem
            with gzip.open(file) as packed, plain.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
        return _evaluated(file, plain, nonzeros)


def _evaluated(file: Path, plain: Path, nonzeros: int) -> Result:
    try:
        data = load_data(str(plain))
    except (ValueError, OSError) as problem:
        raise SpecError([Diagnostic(message=str(problem))]) from None
    found = len(data.flat) if isinstance(data, Coordinates) else int(data.sum())
    size = data.shape[0]
    if found != nonzeros or data.shape != (size, size):
        message = f"{file} has {found} non-zeros in {' x '.join(map(str, data.shape))}, the published matrix {nonzeros}"
        raise SpecError([Diagnostic(message=message, hint="the pattern as it stands, without symmetric copies or added entries")])
    last = (size - 1) % PES + 1
    factor = f"m={PES}" + (f"~{last}" if last < PES else "")
    given = f"{{file: '{plain}'}}"
    overrides = [
        f"workload.shape={{m: {size}, n: {size}, k: {size}}}",
        f"workload.density={{A: {given}, B: {given}}}",
        f"mapping={{DRAM: 'for m={-(-size // PES)}', FiberCache: '| keep B | no_multicast B', PEs: '{factor}', "
        f"PE: 'for k={size} | keep A Z', scale: 'for n={size} | keep A'}}",
    ]
    design = FOLDER / "gamma"
    return evaluate(load(*(design / f"{part}.yaml" for part in ("architecture", "sparse", "uniform")), overrides=overrides))


def _rows(one: dict[str, str], result: Result) -> list[PublishedFigure]:
    case, merged = one["matrix"], sum(unit.processed for unit in result.cost.units)
    at_result = next(k for k in result.cost.sparse.links_from(0) if k.dense.link.output)
    bytes_moved = {k.dense.link.name: _bytes(k.dense.link.name, result) for k in result.cost.sparse.links_from(0)}
    rows = [
        PublishedFigure(case=case, figure="cycles", published=float(one["cycles"]), ours=result.cycles, limit=LIMIT),
        PublishedFigure(
            case=case,
            figure="non-zeros of the result",
            published=float(one["result_nonzeros"]),
            ours=float(at_result.updates.actual),
            limit=EXACT,
        ),
        PublishedFigure(
            case=case,
            figure="products",
            published=float(one["multiplies"]),
            ours=float(result.cost.sparse.computes.actual),
            limit=EXACT,
        ),
        PublishedFigure(case=case, figure="words merged / TeAAL", published=float(one["teaal_merged"]), ours=float(merged)),
    ]
    for name, moved in bytes_moved.items():
        theirs = float(one[f"teaal_bytes_{name.lower()}"])
        rows.append(PublishedFigure(case=case, figure=f"DRAM bytes of {name} / TeAAL", published=theirs, ours=moved))
    return rows


def _bytes(name: str, result: Result) -> float:
    """What crosses the DRAM's pins: words of 8 bytes, and metadata."""
    record = next(level for level in result.to_dict()["levels"] if level["name"] == "DRAM")["tensors"][name]
    actions = ("reads", "updates")
    return sum(8 * record[action]["actual"] + record["metadata_bits"][action]["actual"] / 8 for action in actions)


def _line(one: dict[str, str], result: Result) -> tuple[str | float | None, ...]:
    published, levels = float(one["cycles"]), {level["name"]: level["cycles"] for level in result.to_dict()["levels"]}
    percents = (f"{100 * (cycles / published - 1):+.1f} %" for cycles in (float(one["teaal_cycles"]), result.cycles))
    limits = max(("DRAM", "PE"), key=lambda name: levels[name])
    return (
        one["matrix"],
        published,
        *percents,
        round(levels["DRAM"]),
        round(levels["PE"]),
        "mergers" if limits == "PE" else limits,
    )


TARGET = Target(
    name="gamma",
    title="Gamma: cycles of squares of graphs",
    citation="Zhang et al., ASPLOS 2021, as digitised in the artifact of Nayak et al., TeAAL, MICRO 2023 (baseline gamma)",
    run=findings,
)
