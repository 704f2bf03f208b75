"""The command line: thin commands over the Python API. Results go to stdout, notes to stderr."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparseloop.cli.codesign import Options as CodesignOptions
from sparseloop.cli.compare import Options as CompareOptions
from sparseloop.cli.map import Command, Options
from sparseloop.cli.plot import Options as PlotOptions
from sparseloop.cli.sweep import Options as SweepOptions
from sparseloop.cli.validate import Options as ValidateOptions
from sparseloop.input.diagnostics import Diagnostic, SpecError

if TYPE_CHECKING:
    from sparseloop.cli.network import Layer
    from sparseloop.evaluation.result import Result
    from sparseloop.input.spec import Spec

OK, INFEASIBLE, WRONG_INPUT, BUG = 0, 1, 2, 3
"""Exit statuses."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Format(StrEnum):
    """How results are written."""

    table = "table"
    json = "json"
    csv = "csv"


Files = Annotated[list[str], typer.Argument(metavar="FILE...", help="Native or Timeloop YAML, .jinja2, .map.txt.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change one value of the input (or of its template: jinja.NAME=VALUE)."),
]
As = Annotated[Format, typer.Option("-f", "--format", help="How to write the result.")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status, and never shows a traceback unless --debug is given."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        return _run([argument for argument in given if argument != "--debug"])
    except SpecError as error:
        note(error.render())
        return WRONG_INPUT
    except Exception as error:
        if "--debug" in given:
            raise
        note(f"sparseloop: internal error: {type(error).__name__}: {error}")
        note("This is a bug of ours: please report it, with the output of the same command and --debug.")
        return BUG


def _run(arguments: list[str]) -> int:
    """The exit status that Typer ends the program with."""
    try:
        typer.main.get_command(app).main(arguments, prog_name="sparseloop", standalone_mode=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else OK if end.code is None else WRONG_INPUT
    return OK


def note(text: str) -> None:
    """A line for the user that is no result."""
    print(text, file=sys.stderr)


def _loaded(files: Sequence[str], overrides: Sequence[str] | None) -> Spec:
    from sparseloop.input.load import load

    return load(*files, overrides=overrides or ())


def _split(files: list[str], usage: str) -> tuple[list[str], str]:
    """The files and the last argument."""
    if len(files) < 2:
        raise SpecError([Diagnostic(message=f"too few arguments: {usage}")])
    return files[:-1], files[-1]


# --- commands -----------------------------------------------------------------------------------------------


def _version(wanted: bool) -> None:
    if wanted:
        from sparseloop import __version__

        print(__version__)
        raise typer.Exit(OK)


@app.callback()
def common(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of internal errors.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)] = False,
) -> None:
    """Energy, cycles, area and traffic of sparse tensor accelerators."""


@app.command("eval")
def evaluate_command(files: Files, overrides: Overrides = None, form: As = Format.table) -> None:
    """Evaluate the mapping in the files."""
    from sparseloop.evaluation.evaluate import evaluate

    results: list[Result] = [evaluate(one) for one in _loaded(files, overrides).per_layer()]
    for text in dict.fromkeys(text for result in results for text in result.warnings):
        note(f"warning: {text}")
    _written(results, form)
    if not all(result.valid for result in results):
        for result in results:
            for reason in result.reasons if form != Format.table else ():
                note(f"the mapping is not valid: {reason}")
        raise typer.Exit(INFEASIBLE)


@app.command()
def check(files: Files, overrides: Overrides = None) -> None:
    """Validate the files: print every mistake."""
    from sparseloop.evaluation.evaluate import design_of, evaluate

    try:
        specs = list(_loaded(files, overrides).per_layer())
        designs = [design_of(spec) for spec in specs]
    except SpecError as error:
        print(error.render())
        raise typer.Exit(WRONG_INPUT) from None
    results = [evaluate(spec) for spec, design in zip(specs, designs, strict=True) if design.mapping]
    for text in dict.fromkeys(text for one in (*designs, *results) for text in one.warnings):
        note(f"warning: {text}")
    reasons = [reason for result in results for reason in result.reasons]
    print("\n".join(f"the mapping is not valid: {reason}" for reason in reasons) or "ok")
    if reasons:
        raise typer.Exit(INFEASIBLE)


@app.command()
def show(files: Files, overrides: Overrides = None) -> None:
    """Draw what was understood: FILE... [workload|arch|mapping|sparse|mapspace]."""
    from sparseloop.report.pictures import PARTS, show_parts

    parts = [word for word in files if word in PARTS and not Path(word).exists()]
    for spec in _loaded([word for word in files if word not in parts], overrides).per_layer():
        print(show_parts(spec, parts))


@app.command()
def why(files: Files, overrides: Overrides = None) -> None:
    """How one number came about: FILE... PATH, e.g. why spec.yaml GLB.A.reads.actual."""
    from sparseloop.report.why import why as explained

    paths, number = _split(files, "sparseloop why FILE... PATH")
    for spec in _loaded(paths, overrides).per_layer():
        print(explained(spec, number, width=_width()))


@app.command("energy")
def energy_command(
    files: Files,
    overrides: Overrides = None,
    form: As = Format.table,
    ert: Annotated[str, typer.Option("--ert", metavar="FILE", help="Also write ERT and ART for Accelergy and Timeloop.")] = "",
) -> None:
    """The price of every action of every component, with its source; areas and leakage."""
    from sparseloop.evaluation.evaluate import design_of
    from sparseloop.report import prices as pricelist

    specs = list(_loaded(files, overrides).per_layer())
    designs = [design_of(spec) for spec in specs]
    for text in dict.fromkeys(text for design in designs for text in design.warnings):
        note(f"warning: {text}")
    if ert:
        from sparseloop.input import accelergy

        tables, *others = [accelergy.reference_tables_of_arch(design.arch) for design in designs]
        accelergy.write_ert(tables, ert)
        if any((other.rows, other.areas) != (tables.rows, tables.areas) for other in others):
            note(f"warning: {ert} is of '{specs[0].workload.name}'; prices of other layers differ")
        for text in tables.notes:
            note(f"warning: {text}")
    if form == Format.json:
        records = [pricelist.to_dict(design.arch) for design in designs]
        print(json.dumps(records[0] if len(records) == 1 else records, indent=2, ensure_ascii=False))
    elif form == Format.csv:
        _listed(
            [list(pricelist.to_rows(design.arch)) for design in designs],
            pricelist.PRICE_COLUMNS,
            [s.workload.name for s in specs],
        )
    else:
        print("\n\n".join(dict.fromkeys(pricelist.price_text(design.arch, width=_width()) for design in designs)))


@app.command("import")
def import_command(
    files: Files,
    output: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help="Write there, not to stdout.")] = "",
    overrides: Overrides = None,
) -> None:
    """Convert Timeloop's files into one native file that evaluates to the same numbers."""
    from sparseloop.input.write import import_files

    text, spec = import_files(files, output, overrides or ())
    for line in spec.notes:
        note(f"warning: {line}")
    if not output:
        print(text, end="")


def map_layers(options: Options) -> None:
    """Search the best mapping of every layer."""
    from sparseloop.cli.map import OUTPUT, check, check_places, output_paths
    from sparseloop.mapper.naming import unique_names

    check(options)
    specs = list(_loaded(options.files, options.overrides).per_layer())
    names = unique_names([spec.workload.name for spec in specs])
    files = dict(zip(names, output_paths(options.output, names), strict=True)) if options.output else {}
    check_places(options, list(files.values()))
    from sparseloop.cli.network import mapped

    unwritten: list[str] = []

    def tell(layer: Layer) -> None:
        note("\n".join(layer.notes))
        if layer.name in files and layer.best and layer.best.top:
            unwritten.extend(_kept(layer, files[layer.name], options))

    layers = mapped(specs, options, tell)
    _mapped(layers, options)
    if unwritten:
        raise SpecError(Diagnostic(path=(OUTPUT,), message=text) for text in unwritten)
    if not all(layer.best and layer.best.top for layer in layers):
        raise typer.Exit(INFEASIBLE)


app.command("map")(Command(map_layers, Options))


def _kept(layer: Layer, path: Path, options: Options) -> list[str]:
    """Writes the best mapping of a layer; what went wrong, e.g. a full disk, must not cost the other layers."""
    from sparseloop.cli.map import text_with

    assert layer.best is not None
    try:
        path.write_text(text_with(layer.spec, layer.best.top[0].mapping, options.files), encoding="utf-8")
    except OSError as error:
        return [f"cannot write {path} ({error.strerror})"]
    return []


def _mapped(layers: Sequence[Layer], options: Options) -> None:
    """Fronts, loop nests and tables, or the result files; the totals of several layers."""
    from sparseloop.cli.map import fronts
    from sparseloop.cli.network_table import printed, sentence
    from sparseloop.report.pictures import mapping_picture

    form = Format(options.form)
    for layer in layers:
        found = fronts(layer.best, options) if layer.best else []
        for text in [f"{layer.name}:", *found] if found and len(layers) > 1 else found:
            print(text, file=sys.stdout if form == Format.table else sys.stderr)
    results = [layer.best.result for layer in layers if layer.best and layer.best.result]
    if form == Format.table:
        for result in results:
            print(mapping_picture(result) + "\n")
            _written([result], form)
        if len(layers) > 1:
            printed(layers, sys.stdout)
        return
    if results:
        _written(results, form)
    if len(layers) > 1:
        note(sentence(layers))


def sweep_study(options: SweepOptions) -> None:
    """Explore a design space: every point mapped, the best ones printed, all kept in a folder."""
    from sparseloop.cli.sweep import best, sizes, summary, swept

    study, explored = swept(options)
    if explored is None:
        if not options.check:
            raise typer.Exit(INFEASIBLE)
        print(sizes(study))
        return
    note("\n".join(summary(explored)))
    if text := best(explored, options.form):
        print(text)
    if explored.tally.faults:
        raise typer.Exit(BUG)
    if not explored.tally.valid:
        raise typer.Exit(INFEASIBLE)


app.command("sweep")(Command(sweep_study, SweepOptions))


def codesign_features(options: CodesignOptions) -> None:
    """Find the best formats, gating and skipping together with the best mapping, and prove it."""
    from sparseloop.cli.codesign import codesigned

    if codesigned(options).value is None:
        raise typer.Exit(INFEASIBLE)


app.command("codesign")(Command(codesign_features, CodesignOptions))


@app.command()
def query(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The results of a study.")],
    question: Annotated[str, typer.Argument(metavar="SQL", help="Tables: points, layers, evaluations.")],
    form: As = Format.table,
) -> None:
    """Ask the results of a study: query DIR "select * from points where valid order by edp limit 5"."""
    from sparseloop.cli.sweep import asked

    print(asked(folder, question, form))


def plot_figure(options: PlotOptions) -> None:
    """Draw a figure for a paper: of results, or of a study."""
    from sparseloop.cli.plot import plotted

    note(f"written to {plotted(options)}")


app.command("plot")(Command(plot_figure, PlotOptions))


@app.command("report")
def report_page(
    given: Annotated[
        list[str], typer.Argument(metavar="DIR|FILE...", help="A study's folder, result files, or a specification.")
    ],
    output: Annotated[str, typer.Option("-o", "--output", help="File of the page.")] = "report.html",
    overrides: Overrides = None,
) -> None:
    """Write everything about results or a study as one interactive page, which needs no network."""
    from sparseloop.cli.plot import reported

    note(f"written to {reported(given, output, overrides or ())}")


def validate_targets(options: ValidateOptions) -> None:
    """Compute what was published, side by side with the error."""
    from sparseloop.cli.validate import validated

    if not validated(options):
        raise typer.Exit(INFEASIBLE)


app.command("validate")(Command(validate_targets, ValidateOptions))


def compare_outputs(options: CompareOptions) -> None:
    """Show where the output of Timeloop differs, number by number, and the fault behind it."""
    from sparseloop.cli.compare import compared

    compared(options)


app.command("compare")(Command(compare_outputs, CompareOptions))


@app.command()
def example(
    name: Annotated[str | None, typer.Argument(help="A design, or a file of one: eyeriss_v1/conv3.")] = None,
    path: Annotated[bool, typer.Option("--path", help="Print where it is instead.")] = False,
) -> None:
    """List the shipped designs, or print one."""
    from sparseloop import designs as examples

    if name is not None:
        found = examples.path_of(name)
        print(found if path else examples.text_of(found).rstrip("\n"))
        return
    known = examples.designs()
    longest = max(map(len, known), default=0)
    for label, file in known.items():
        print(f"{label:<{longest}}  {file if path else examples.title(file)}".rstrip())


@app.command()
def schema() -> None:
    """Print the JSON schema of the native format."""
    from sparseloop.input.load import schema as described

    print(json.dumps(described(), indent=2))


# --- writing ------------------------------------------------------------------------------------------------


def _width() -> int:
    import shutil

    return max(60, min(120, shutil.get_terminal_size((100, 24)).columns))


def _written(results: Sequence[Result], form: Format) -> None:
    """Several results (layers): tables one after the other, a JSON list, CSV rows with the layer in front."""
    if form == Format.json:
        records = [result.to_dict() for result in results]
        print(json.dumps(records[0] if len(records) == 1 else records, indent=2, ensure_ascii=False))
    elif form == Format.csv:
        _csv(results)
    else:
        from sparseloop.report.tables import print_result

        for result in results:
            print_result(result, sys.stdout, width=_width())


def _csv(results: Sequence[Result]) -> None:
    from sparseloop.evaluation.long_form import COLUMNS

    _listed([result.to_rows() for result in results], COLUMNS, [result.design.einsum.name for result in results])


def _listed(tables: Sequence[Sequence[tuple[object, ...]]], columns: Sequence[str], layers: Sequence[str]) -> None:
    """CSV rows; the layer in front if there are several."""
    from sparseloop.report.borders import write_csv

    several = len(tables) > 1
    named = ((*((layer,) if several else ()), *row) for layer, rows in zip(layers, tables, strict=True) for row in rows)
    write_csv(sys.stdout, (*(("layer",) if several else ()), *columns), named)
