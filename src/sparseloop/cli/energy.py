"""`sparseloop energy`: the prices of a design, or of an architecture alone, which needs no workload, mapping or compute unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from sparseloop.cli.options import Form, FormOption, InputFiles, Overrides
from sparseloop.cli.output import print_csv, print_json, terminal_width, warn
from sparseloop.input.diagnostics import SpecError

if TYPE_CHECKING:
    from sparseloop.input.accelergy import ReferenceTables
    from sparseloop.input.spec import Spec
    from sparseloop.model.design.arch import Arch


def energy_command(
    files: InputFiles,
    overrides: Overrides = None,
    form: FormOption = "table",
    ert: Annotated[str, typer.Option("--ert", metavar="FILE", help="Also write ERT and ART for Accelergy and Timeloop.")] = "",
    summary: Annotated[bool, typer.Option("--summary", help="Area and leakage of every component only.")] = False,
) -> None:
    """List every price with its source.

    The energy of every action of every component, areas and leakage: from your tables, or from which estimate. --ert writes them
    for Accelergy and Timeloop.
    """
    print_prices(files, overrides or (), form, ert, summary=summary)


def print_prices(files: Sequence[str], overrides: Sequence[str], form: Form, ert: str = "", *, summary: bool = False) -> None:
    """Prints the price of every action of every component; writes them as energy tables to the file `ert` if one is named.

    `summary`: as a table a line for every component only, with its area and leakage.
    """
    from sparseloop.input.accelergy import tables_of_files
    from sparseloop.input.load import load_architecture

    try:
        spec = load_architecture(*files, overrides=overrides)
    except SpecError as error:
        tables = tables_of_files(files, overrides)
        if tables is None:
            raise
        reason = error.diagnostics[0].message if error.diagnostics else ""
        _print_tables(tables, form, ert, f"priced without the loop model ({reason})", summary=summary)
        return
    _print_designs(spec, form, ert, summary=summary)


def _print_designs(spec: Spec, form: Form, ert: str, *, summary: bool) -> None:
    from sparseloop.evaluation.evaluate import design_of
    from sparseloop.report import prices

    layers = list(spec.per_layer())
    designs = [design_of(layer) for layer in layers]
    warnings = [text for design in designs for text in design.warnings]
    if ert:
        warnings += _write_tables([design.arch for design in designs], ert, layers[0].workload.name)
    warn(warnings)
    if form == "json":
        print_json([prices.to_dict(design.arch, design.warnings) for design in designs])
    elif form == "csv":
        names = [layer.workload.name for layer in layers]
        print_csv([list(prices.to_rows(design.arch)) for design in designs], prices.PRICE_COLUMNS, names)
    else:
        width = terminal_width()
        texts = [prices.price_text(design.arch, width=width, summary=summary) for design in designs]
        print(("\n" if summary else "\n\n").join(dict.fromkeys(texts)))


def _write_tables(machines: Sequence[Arch], ert: str, first: str) -> list[str]:
    """Writes the energy tables of the first design; what they cannot hold."""
    from sparseloop.input import accelergy

    tables, *others = [accelergy.reference_tables_of_arch(arch) for arch in machines]
    accelergy.write_ert(tables, ert)
    different = any((other.rows, other.areas) != (tables.rows, tables.areas) for other in others)
    return [*([f"{ert} is of '{first}'; prices of other layers differ"] if different else []), *tables.notes]


def _print_tables(tables: ReferenceTables, form: Form, ert: str, how: str, *, summary: bool) -> None:
    from sparseloop.input import accelergy
    from sparseloop.report import prices

    warnings = [how, *tables.notes]
    warn(warnings)
    if ert:
        accelergy.write_ert(tables, ert)
    if form == "json":
        print_json([prices.tables_to_dict(tables, warnings)])
    elif form == "csv":
        print_csv([list(prices.tables_to_rows(tables))], prices.PRICE_COLUMNS, [""])
    else:
        print(prices.tables_text(tables, width=terminal_width(), summary=summary))
