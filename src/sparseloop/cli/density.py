"""`sparseloop density`: measures given data, and says which density model describes it best."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparseloop.cli.options import FormOption
from sparseloop.cli.output import print_csv, print_json, print_table
from sparseloop.input.diagnostics import Diagnostic, SpecError

if TYPE_CHECKING:
    from sparseloop.input.densities.fit import DensityFit, FittedModel
    from sparseloop.report.datatable import DataTable

WELL = 0.02
"""Mean error of the share of empty tiles up to which a model describes a tensor well."""


def density_command(
    file: Annotated[str, typer.Argument(metavar="FILE", help=".npy, .npz, .mtx, .safetensors, or text: rows of a matrix.")],
    array: Annotated[str | None, typer.Option(metavar="NAME", help="Which array of a .npz or .safetensors file.")] = None,
    shape: Annotated[
        str | None, typer.Option(metavar="MxK", help="Shape of text in one line, last axis fastest: 64x256.")
    ] = None,
    ranks: Annotated[str, typer.Option(metavar="NAMES", help="Rank variables of the axes, for the line to paste: m,k.")] = "",
    form: FormOption = "table",
) -> None:
    """Measure a tensor and rank the density models.

    Every model is fitted to the data and judged by how well it predicts the share of empty tiles, over tiles of all shapes.
    Prints the line for the workload of a specification.
    """
    from sparseloop.input.densities.fit import fit_density
    from sparseloop.model.density import load_data

    names, sides = ranks.replace(",", " ").split(), _sides(shape)
    try:
        fit = fit_density(load_data(Path(file), shape=sides, order="last_fastest", array=array), ranks=names)
    except ValueError as error:  # what the file holds, or the number of ranks
        raise SpecError([Diagnostic(message=str(error))]) from None
    except OSError as error:
        from sparseloop.input.yaml.nodes import missing_file_hint, wrong_file

        raise wrong_file(file, f"cannot read the file: {error.strerror}", missing_file_hint(file, error)) from None
    if form == "json":
        print_json([{"file": file, **_fit_dict(fit)}])
    elif form == "csv":
        print_csv([_fit_rows(fit)], FIT_COLUMNS, [""])
    else:
        print_table(_fit_table(fit, Path(file).name))
        print(f"\ndensity: {{A: {fit.best.text}}}")
        if fit.best.mean_error > WELL:
            print(f"No model describes this tensor well; exact counts come from the data itself: density: {{A: {file}}}")


def _sides(shape: str | None) -> tuple[int, ...] | None:
    """'64x256' -> 64, 256."""
    if shape is None:
        return None
    if re.fullmatch(r"[1-9]\d{0,17}(x[1-9]\d{0,17})*", shape) is None:
        raise SpecError([Diagnostic(message=f"--shape {shape}: needed are whole numbers from 1 on, as 64x256")])
    return tuple(map(int, shape.split("x")))


# --- tables -------------------------------------------------------------------------------------------------

FIT_COLUMNS = ("density", "mean_error", "worst_error", "worst_tile", "measured", "predicted")
"""Columns of `_fit_rows`."""


def _fit_table(fit: DensityFit, name: str) -> DataTable:
    """The models fitted to given data, the best one first: errors of the share of empty tiles, the largest with its tile."""
    from sparseloop.evaluation import humanize
    from sparseloop.report.datatable import DataTable, columns

    rows = [
        (
            str(number),
            _fitted_text(one),
            humanize.percent_text(one.mean_error),
            humanize.percent_text(one.worst_error),
            "x".join(map(str, one.worst_tile)),
            humanize.percent_text(one.measured),
            humanize.percent_text(one.predicted),
        )
        for number, one in enumerate(fit.models, start=1)
    ]
    shape = "x".join(map(str, fit.shape))
    note = f"share of empty tiles over {fit.tiles} shapes" if fit.tiles else "no tiles"
    return DataTable(
        title=f"{name}: {shape}, {fit.nonzeros} non-zeros, density {fit.density:.4g}",
        note=note,
        columns=columns("*no.", "~density model", "mean error", "worst", "at tile", "measured", "predicted"),
        rows=tuple(rows),
    )


def _fitted_text(one: FittedModel) -> str:
    """As it is written; of a histogram the beginning."""
    return one.text if len(one.text) <= LONGEST_MODEL else f"{one.text[: LONGEST_MODEL - 3].rpartition(' ')[0]} ..."


LONGEST_MODEL = 50
"""Characters of a model in a table."""


def _fit_dict(fit: DensityFit) -> dict[str, Any]:
    """The same as data."""
    head = {"shape": list(fit.shape), "nonzeros": fit.nonzeros, "density": fit.density, "tiles": fit.tiles}
    models = [dict(zip(FIT_COLUMNS, row, strict=True)) for row in _fit_rows(fit)]
    return {**head, "best": fit.best.text, "models": models}


def _fit_rows(fit: DensityFit) -> list[tuple[Any, ...]]:
    """One row each."""
    return [
        (one.text, one.mean_error, one.worst_error, "x".join(map(str, one.worst_tile)), one.measured, one.predicted)
        for one in fit.models
    ]
