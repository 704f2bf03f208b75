"""`sparseloop density`: measures given data, and says which density model describes it best."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sparseloop.cli.options import FormOption
from sparseloop.cli.output import print_csv, print_json, print_table
from sparseloop.input.diagnostics import Diagnostic, SpecError
from sparseloop.input.yaml.nodes import missing_file_hint, wrong_file

WELL = 0.02
"""Mean error of the share of empty tiles up to which a model describes a tensor well."""


def density_command(
    file: Annotated[str, typer.Argument(metavar="FILE", help=".npy, .npz, .mtx, .safetensors, or text of 0 and 1 with --shape.")],
    array: Annotated[str | None, typer.Option(metavar="NAME", help="Which array of a .npz or .safetensors file.")] = None,
    shape: Annotated[str | None, typer.Option(metavar="MxK", help="Shape of a text file, last axis fastest: 64x256.")] = None,
    ranks: Annotated[str, typer.Option(metavar="NAMES", help="Rank variables of the axes, for the line to paste: m,k.")] = "",
    form: FormOption = "table",
) -> None:
    """Measure a tensor and rank the density models.

    Every model is fitted to the data and judged by how well it predicts the share of empty tiles, over tiles of all shapes.
    Prints the line for the workload of a specification.
    """
    from sparseloop.input.densities.fit import fit_density
    from sparseloop.model.density import load_data
    from sparseloop.report import study_table

    names = ranks.replace(",", " ").split()
    try:
        sides = tuple(int(side) for side in shape.split("x")) if shape else None
        fit = fit_density(load_data(Path(file), shape=sides, order="last_fastest", array=array), ranks=names)
    except ValueError as error:
        message = f"--shape {shape}: needed are whole numbers, as 64x256" if "invalid literal" in str(error) else str(error)
        raise SpecError([Diagnostic(message=message)]) from None
    except OSError as error:
        raise wrong_file(file, f"cannot read the file: {error.strerror}", missing_file_hint(file, error)) from None
    if form == "json":
        print_json([{"file": file, **study_table.fit_dict(fit)}])
    elif form == "csv":
        print_csv([study_table.fit_rows(fit)], study_table.FIT_COLUMNS, [""])
    else:
        print_table(study_table.fit_table(fit, Path(file).name))
        print(f"\ndensity: {{A: {fit.best.text}}}")
        if fit.best.mean_error > WELL:
            print(f"No model describes this tensor well; exact counts come from the data itself: density: {{A: {file}}}")
