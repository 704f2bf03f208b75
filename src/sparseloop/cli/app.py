"""The command line: thin commands over the Python API. Results go to stdout, notes to stderr."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparseloop.cli.codesign import CodesignArguments
from sparseloop.cli.compare import CompareArguments
from sparseloop.cli.density import density_command
from sparseloop.cli.energy import energy_command
from sparseloop.cli.failures import ClosedOutput, Interrupted, drop_output, plain_warnings, refusal
from sparseloop.cli.map import MapArguments
from sparseloop.cli.network import ImportArguments, NetworkArguments
from sparseloop.cli.options import (
    Command,
    FormOption,
    InputFiles,
    Overrides,
    SummaryOption,
    example_names,
)
from sparseloop.cli.output import be_quiet, complain, note, print_results, terminal_width, warn
from sparseloop.cli.plot import PlotArguments
from sparseloop.cli.registration import add_command
from sparseloop.cli.sweep import SweepArguments
from sparseloop.cli.validate import ValidateArguments
from sparseloop.input.diagnostics import Diagnostic, SpecError
from sparseloop.input.terminal import lines

if TYPE_CHECKING:
    from sparseloop.input.spec import Spec

OK, INFEASIBLE, WRONG_INPUT, BUG, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit statuses; WRONG_INPUT also where the system refuses (disk, memory, permission)."""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _command(name: str, example: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes the decorated function a command; `example` is one line to copy."""

    def registered(function: Callable[..., None]) -> Callable[..., None]:
        add_command(app, name, function, example)
        return function

    return registered


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status, and never shows a traceback unless --debug is given."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    be_quiet(False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        with plain_warnings():
            return _run([argument for argument in given if argument != "--debug"])
    except SpecError as error:
        complain(error.render())
        return WRONG_INPUT
    except (Interrupted, KeyboardInterrupt) as error:
        complain(f"interrupted{f': {error}' if str(error) else ''}")
        return INTERRUPTED
    except ClosedOutput:
        drop_output()
        return WRONG_INPUT
    except Exception as error:
        if "--debug" in given:
            raise
        if (said := refusal(error)) is not None:
            drop_output()
            complain(f"sparseloop: the system refused: {said}")
            return WRONG_INPUT
        complain(lines(f"sparseloop: internal error: {type(error).__name__}: {error}"))
        complain("This is a bug of ours: please report it, with the output of the same command and --debug.")
        return BUG


def _run(arguments: list[str]) -> int:
    """The exit status that Typer ends the program with."""
    try:
        typer.main.get_command(app).main(arguments, prog_name="sparseloop", standalone_mode=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else OK if end.code is None else WRONG_INPUT
    return OK


def _loaded(files: Sequence[str], overrides: Sequence[str] | None) -> Spec:
    from sparseloop.input.load import load

    return load(*files, overrides=overrides or ())


def _split(files: list[str], usage: str) -> tuple[list[str], str]:
    """The files and the last argument."""
    if len(files) < 2:
        raise SpecError([Diagnostic(message=f"too few arguments: {usage}")])
    return files[:-1], files[-1]


# --- one specification --------------------------------------------------------------------------------------


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


@_command("eval", "sparseloop eval matmul.yaml --summary")
def evaluate_command(
    files: InputFiles, overrides: Overrides = None, form: FormOption = "table", summary: SummaryOption = False
) -> None:
    """Evaluate the mapping in the files.

    Prints energy, cycles, traffic, what every sparse feature saves, what limits the speed and how full the levels are. Several
    layers are evaluated one by one, with their totals at the end. Exit status 1: the mapping does not fit.
    """
    from sparseloop.evaluation.evaluate import evaluate

    layers = list(_loaded(files, overrides).per_layer())
    results = [evaluate(layer) for layer in layers]
    warn([text for result in results for text in result.warnings])
    print_results(results, form, summary=summary, times=[layer.workload.times for layer in layers])
    if not all(result.valid for result in results):
        for reason in [reason for result in results for reason in result.reasons] if form != "table" else []:
            complain(f"the mapping is not valid: {reason}")
        raise typer.Exit(INFEASIBLE)


@_command("check", "sparseloop check arch.yaml problem.yaml mapping.yaml")
def check_command(files: InputFiles, overrides: Overrides = None) -> None:
    """Print every mistake in the files.

    Each with its line and what would be right; warnings too. Nothing is evaluated that is not valid.
    """
    from sparseloop.evaluation.evaluate import design_of, evaluate

    try:
        layers = list(_loaded(files, overrides).per_layer())
        designs = [design_of(layer) for layer in layers]
    except SpecError as error:
        print(error.render())
        raise typer.Exit(WRONG_INPUT) from None
    results = [evaluate(layer) for layer, design in zip(layers, designs, strict=True) if design.mapping]
    warn([text for checked in (*designs, *results) for text in checked.warnings])
    reasons = [reason for result in results for reason in result.reasons]
    print("\n".join(f"the mapping is not valid: {reason}" for reason in reasons) or "ok")
    if reasons:
        raise typer.Exit(INFEASIBLE)


@_command("show", "sparseloop show matmul.yaml mapping sparse")
def show_command(files: InputFiles, overrides: Overrides = None) -> None:
    """Draw the specification as it was read.

    After the files, name what to draw: workload, arch, mapping, sparse, mapspace; default: all of them.
    """
    from sparseloop.report.pictures import PARTS, show_parts

    parts = [word for word in files if word in PARTS and not Path(word).exists()]
    spec = _loaded([word for word in files if word not in parts], overrides)
    warn(spec.notes)
    for layer in spec.per_layer():
        print(show_parts(layer, parts, width=terminal_width()))


@_command("why", "sparseloop why matmul.yaml GLB.A.reads.actual")
def why_command(files: InputFiles, overrides: Overrides = None) -> None:
    """Derive one number of the result.

    After the files comes the number, e.g. GLB.A.reads.actual or energy: its formula with all values put in, down to the
    loops of the mapping.
    """
    from sparseloop.evaluation.evaluate import design_of
    from sparseloop.report.why import why

    paths, number = _split(files, "sparseloop why FILE... PATH")
    layers = list(_loaded(paths, overrides).per_layer())
    warn([text for layer in layers for text in design_of(layer).warnings])
    for layer in layers:
        print(why(layer, number, width=terminal_width()))


_command("energy", "sparseloop energy matmul.yaml --ert ert.yaml")(energy_command)
_command("density", "sparseloop density weights.npz --ranks m,k")(density_command)


def import_command(arguments: ImportArguments) -> None:
    """Convert Timeloop's files, or a network, into a native one.

    The file evaluates to the same numbers. Keys without a counterpart, and operators of a network that are no layer, are
    listed on stderr.
    """
    from sparseloop.cli.network import import_network, is_one_network
    from sparseloop.input.write import import_files

    overrides = arguments.reading
    if is_one_network(arguments.files):
        import_network(arguments.files[0], arguments.output, overrides)
        return
    text, spec = import_files(arguments.files, arguments.output, overrides)
    for line in spec.notes:
        note(f"warning: {line}")
    if not arguments.output:
        print(text, end="")


_command("import", "sparseloop import arch.yaml problem.yaml map.yaml -o native.yaml")(Command(import_command, ImportArguments))


# --- searches and studies -----------------------------------------------------------------------------------


def map_command(arguments: MapArguments) -> None:
    """Search the best mapping of every layer.

    'constraints:' in the files restrict the mapspace. The result says whether the mapping is proven to be the best, or how far
    from the best it can be; -o writes a file that 'eval' reads.
    """
    from sparseloop.cli.map import map_layers

    if not map_layers(arguments):
        raise typer.Exit(INFEASIBLE)


_command("map", "sparseloop map matmul.yaml --minimize edp --budget 10s -o best.yaml")(Command(map_command, MapArguments))


def network_command(arguments: NetworkArguments) -> None:
    """Compare machines on a network.

    Maps every layer of a network on every machine; prints the layers with the machine that wins and why, and the totals. A
    shipped design brings the constraints of its dataflow. --resume goes on after an interrupt.
    """
    from sparseloop.cli.network import compare_machines

    if not compare_machines(arguments):
        raise typer.Exit(INFEASIBLE)


_command("network", "sparseloop network resnet50 --on eyeriss_v1 --on nvdla -o page.html")(
    Command(network_command, NetworkArguments)
)


def sweep_command(arguments: SweepArguments) -> None:
    """Explore a design space.

    Maps every point of a study, prints the best ones, or the Pareto front, and keeps all in a folder for 'query', 'plot' and
    'report'. --resume goes on after an interrupt.
    """
    from sparseloop.cli.sweep import checked_study, print_best_points, run_study, study_summary
    from sparseloop.explore.executors import is_system_failure

    if arguments.check:
        print(checked_study(arguments))
        return
    explored = run_study(arguments)
    note("\n".join(study_summary(explored)))
    print_best_points(explored, arguments.form, summary=arguments.summary)
    if explored.tally.faults:
        raise typer.Exit(WRONG_INPUT if all(map(is_system_failure, explored.tally.faults)) else BUG)
    if not explored.tally.valid:
        raise typer.Exit(INFEASIBLE)


_command("sweep", "sparseloop sweep study.yaml -o out --workers 2")(Command(sweep_command, SweepArguments))


def codesign_command(arguments: CodesignArguments) -> None:
    """Search sparse features and mapping together.

    Finds the best formats, gating and skipping together with the best mapping, and proves that no combination is better.
    """
    from sparseloop.cli.codesign import codesign_features

    if not codesign_features(arguments):
        raise typer.Exit(INFEASIBLE)


_command("codesign", "sparseloop codesign study.yaml --budget 60s -o best.yaml")(Command(codesign_command, CodesignArguments))


@_command("query", 'sparseloop query out "select * from points where valid order by edp limit 5"')
def query_command(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The results of a study.")],
    question: Annotated[str, typer.Argument(metavar="SQL", help="Tables: points, layers, evaluations.")],
    form: FormOption = "table",
) -> None:
    """Ask the results of a study in SQL.

    Tables: points (one row per design), layers (per design and workload), evaluations.
    """
    from sparseloop.cli.sweep import query_text

    print(query_text(folder, question, form))


# --- figures, comparisons -----------------------------------------------------------------------------------


def plot_command(arguments: PlotArguments) -> None:
    """Draw a figure for a paper.

    Of results (files with a mapping, or what 'eval -f json' wrote): breakdown, roofline, loopnest. Of the folder of a study:
    pareto, parallel, sensitivity, sweep.
    """
    from sparseloop.cli.plot import plot_files

    note(f"written to {plot_files(arguments)}")


_command("plot", "sparseloop plot matmul.yaml --kind roofline -o roof.pdf")(Command(plot_command, PlotArguments))


@_command("report", "sparseloop report matmul.yaml -o matmul.html")
def report_command(
    given: Annotated[
        list[str], typer.Argument(metavar="DIR|FILE...", help="A study's folder, result files, or a specification.")
    ],
    output: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help="File of the page.")] = "report.html",
    overrides: Overrides = None,
) -> None:
    """Write results or a study as one HTML page.

    All tables of 'eval' with figures, the files with their hashes, the version and the command that makes it again.
    It needs no network.
    """
    from sparseloop.cli.plot import report_files

    note(f"written to {report_files(given, output, overrides or ())}")


def validate_command(arguments: ValidateArguments) -> None:
    """Compare with published results.

    Prints each published figure beside that of the model, with the error.
    """
    from sparseloop.cli.validate import validate_targets

    if not validate_targets(arguments):
        raise typer.Exit(INFEASIBLE)


_command("validate", "sparseloop validate eyeriss_v1")(Command(validate_command, ValidateArguments))


def compare_command(arguments: CompareArguments) -> None:
    """Compare with your own output of Timeloop.

    Number by number, with the known fault of Timeloop behind each difference.
    """
    from sparseloop.cli.compare import print_comparison

    print_comparison(arguments)


_command("compare", "sparseloop compare arch.yaml problem.yaml map.yaml timeloop-model.stats.txt")(
    Command(compare_command, CompareArguments)
)


# --- what is there ------------------------------------------------------------------------------------------


@_command("example", "sparseloop example eyeriss_v1/conv3 > conv3.yaml")
def example_command(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", autocompletion=example_names, help="A design, or a file of one: eyeriss_v1/conv3."),
    ] = None,
    notebook: Annotated[bool, typer.Option("--notebook", help="NAME is a notebook; without NAME: list them.")] = False,
    path: Annotated[bool, typer.Option("--path", help="Print the path of its files instead.")] = False,
    workloads: Annotated[bool, typer.Option("--workloads", help="NAME is a network; without NAME: list them.")] = False,
) -> None:
    """List the shipped designs, or print one.

    With --notebook: the shipped Jupyter notebooks instead; with --workloads: the shipped networks.
    """
    from sparseloop import designs

    if workloads:
        from sparseloop.cli.network import print_shipped_network

        print_shipped_network(name)
        return
    if name is not None:
        file = designs.notebook_of(name) if notebook else designs.path_of(name)
        print(file if path else designs.text_of(file).rstrip("\n"))
        return
    shipped = designs.notebooks() if notebook else designs.designs()
    longest = max(map(len, shipped), default=0)
    for label, file in shipped.items():
        print(f"{label:<{longest}}  {file if path else designs.title(file)}".rstrip())


@_command("schema", "sparseloop schema > schema.json")
def schema_command() -> None:
    """Print the JSON schema of the native format.

    Editors use it to complete and check keys.
    """
    from sparseloop.input.load import schema

    print(json.dumps(schema(), indent=2))
