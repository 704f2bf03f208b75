"""`sparseloop map`: options checked, every layer searched, the best mappings drawn and written."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparseloop.cli.failures import Interrupted
from sparseloop.cli.options import (
    OUTPUT,
    SPECIFICATION,
    FormOption,
    Overrides,
    SummaryOption,
    method_names,
    no_folder,
    objective_names,
    option_mistakes,
    output_mistakes,
    writable_folder,
)
from sparseloop.cli.output import complain, note, print_json, print_results, print_table, print_tables, terminal_width, warn
from sparseloop.cli.progress import status_line
from sparseloop.input.diagnostics import Diagnostic, SpecError

if TYPE_CHECKING:
    from sparseloop.input.spec import Spec
    from sparseloop.mapper.network import LayerResult, NetworkProgress, NetworkResult
    from sparseloop.mapper.options import SearchOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class MapArguments:
    """The arguments of `sparseloop map`."""

    files: Annotated[list[str], typer.Argument(metavar="FILE...", help=SPECIFICATION)]
    overrides: Overrides = None
    minimize: Annotated[
        str,
        typer.Option(
            metavar="WHAT",
            autocompletion=objective_names,
            help="energy, cycles, edp, ed2p ...; 'energy,cycles'; '0.7*energy + cycles'.",
        ),
    ] = "edp"
    pareto: Annotated[str | None, typer.Option(metavar="A,B", help="Also the Pareto front, e.g. energy,cycles.")] = None
    method: Annotated[
        str,
        typer.Option(
            metavar="METHOD",
            autocompletion=method_names,
            help="auto, optimal, genetic, annealing, random or exhaustive.",
        ),
    ] = "auto"
    budget: Annotated[str | None, typer.Option(metavar="N|TIME", help="Mappings (100k) or time (10s, 2min).")] = None
    memory: Annotated[float, typer.Option(metavar="GB", min=0.1, help="Memory that a proof may use, about.")] = 1.0
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Same seed, same answer (unless the budget is a time).")] = 0
    workers: Annotated[
        int, typer.Option(metavar="N", min=1, help="Worker processes; several layers are searched side by side.")
    ] = 1
    top: Annotated[int, typer.Option(metavar="N", min=1, help="How many of the best mappings to print.")] = 1
    padded: Annotated[bool, typer.Option("--padded", help="Also try imperfect factors, which can use more of a fanout.")] = False
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="Write the best mapping.")] = None
    resume: Annotated[
        str | None, typer.Option(metavar="DIR", help="Keep every finished layer there, and do not search it again.")
    ] = None
    form: FormOption = "table"
    summary: SummaryOption = False

    @property
    def search(self) -> SearchOptions:
        """The options of the search itself."""
        from sparseloop.mapper.options import SearchOptions

        return SearchOptions(
            minimize=self.minimize,
            pareto=self.pareto or "",
            top=self.top,
            method=self.method,
            budget=self.budget,
            memory_gb=self.memory,
            seed=self.seed,
            padded=self.padded,
            workers=self.workers,
        )


def map_layers(arguments: MapArguments) -> bool:
    """Searches the best mapping of every layer, prints and writes it; True if there is one of each."""
    from sparseloop.evaluation.evaluate import design_of
    from sparseloop.input.load import load
    from sparseloop.mapper.network import map_network, unique_layer_names

    _check(arguments)
    given = load(*arguments.files, overrides=arguments.overrides or ())
    spec = given.unmapped()
    names = unique_layer_names([layer.workload.name for layer in spec.per_layer()])
    files = dict(zip(names, output_paths(arguments.output, names), strict=True)) if arguments.output else {}
    _check_places(arguments, list(files.values()))
    warn(said := [text for layer in spec.per_layer() for text in design_of(layer).warnings])
    with status_line("searching ...") as show:
        shown = _Shown(show, arguments, files)
        network = map_network(spec, arguments.search, folder=arguments.resume or "", watch=shown.watch)
    results = [layer.result for layer in network.layers if layer.result is not None]
    warn([text for result in results for text in result.warnings if text not in said])
    warn(_of_the_file(given, network))
    _print_network(network, arguments)
    if shown.unwritten:
        raise SpecError(Diagnostic(path=(OUTPUT,), message=text) for text in shown.unwritten)
    if any(layer.interrupted for layer in network.layers):
        raise Interrupted
    return network.complete


def _of_the_file(given: Spec, network: NetworkResult) -> list[str]:
    """Layers for which the mapping in the files, which a search does not look at, is better than what it found."""
    from sparseloop.evaluation.evaluate import design_of, evaluate_mapping
    from sparseloop.report.search_text import given_is_better

    said: list[str] = []
    for layer, found in zip(given.per_layer(), network.layers, strict=True):
        best = found.best
        if not layer.mapping or best is None or best.proven_optimal:
            continue
        try:
            design = design_of(layer)
        except SpecError:  # of another shape
            continue
        result = evaluate_mapping(design, design.mapping) if design.mapping else None
        if result and (text := given_is_better(best, result)):
            said.append(f"{found.name}: {text}" if len(network.layers) > 1 else text)
    return said


class _Shown:
    """Shows how the layers proceed and writes each as soon as it is known; what cannot be written costs no other layer."""

    def __init__(self, show: Callable[[str], None], arguments: MapArguments, files: dict[str, Path]) -> None:
        self.show, self.arguments, self.files = show, arguments, files
        self.unwritten: list[str] = []

    def watch(self, progress: NetworkProgress) -> None:
        """What `map_network` tells."""
        from sparseloop.report.search_text import layer_lines, network_progress_line

        if progress.finished is None:
            self.show(network_progress_line(progress))
            return
        say = note if progress.finished.result else complain  # why there is no mapping explains the exit status
        say("\n".join(layer_lines(progress.finished, several=progress.total > 1)))
        self._write(progress.finished)

    def _write(self, layer: LayerResult) -> None:
        from sparseloop.input.write import text_with_mapping
        from sparseloop.input.yaml.whole_files import write_text_whole

        if layer.name not in self.files or layer.best is None or layer.best.mapping is None:
            return
        file = self.files[layer.name]
        try:
            write_text_whole(file, text_with_mapping(layer.spec, layer.best.mapping, file.parent, self.arguments.files))
        except OSError as error:  # e.g. a full disk
            self.unwritten.append(f"cannot write {file} ({error.strerror})")


def output_paths(given: str, names: Sequence[str]) -> list[Path]:
    """best.yaml; with several layers best-conv1.yaml ...; no two are the same."""
    from sparseloop.mapper.network import unique_layer_names

    path = Path(given)
    if len(names) == 1:
        return [path]
    safe = unique_layer_names([re.sub(r"[/\\:\0]", "_", name) for name in names])
    return [path.parent / f"{path.stem}-{name}{path.suffix}" for name in safe]


# --- checks -------------------------------------------------------------------------------------------------


def _check(arguments: MapArguments) -> None:
    """Raises every mistake in the options that can be seen before the files are read."""
    from sparseloop.mapper.objectives import objective
    from sparseloop.mapper.options import parse_budget
    from sparseloop.mapper.search import known_method

    mistakes = [
        *option_mistakes("--minimize", lambda: objective(arguments.minimize)),
        *option_mistakes("--pareto", lambda: arguments.pareto is None or _check_front(arguments.pareto)),
        *option_mistakes("--method", lambda: known_method(arguments.method)),
        *option_mistakes("--budget", lambda: parse_budget(arguments.budget, arguments.method)),
        *option_mistakes(OUTPUT, lambda: arguments.output is None or no_folder(arguments.output)),
        *option_mistakes("--resume", lambda: arguments.resume is None or _check_folder(arguments.resume)),
    ]
    if mistakes:
        raise SpecError(mistakes)


def _check_front(given: str) -> None:
    from sparseloop.mapper.objectives import objectives

    if len({one.name for one in objectives(given)}) < 2:
        raise SpecError([Diagnostic(message="a front needs two different objectives or more", hint="e.g. energy,cycles")])


def _check_folder(folder: str) -> None:
    if not folder or (Path(folder).exists() and not Path(folder).is_dir()):
        raise SpecError([Diagnostic(message=f"'{folder}' is not a folder", hint="it is created if it is missing")])


def _check_places(arguments: MapArguments, files: Sequence[Path]) -> None:
    """Raises what would keep results from being written: better now than after the search. Makes the folder of --resume."""
    mistakes = output_mistakes(files)
    if arguments.resume is not None:
        mistakes += option_mistakes("--resume", partial(writable_folder, Path(arguments.resume), make=True))
    if mistakes:
        raise SpecError(mistakes)


# --- printing -----------------------------------------------------------------------------------------------


def _print_network(network: NetworkResult, arguments: MapArguments) -> None:
    """Fronts, loop nests and tables, or the result files; the totals of several layers."""
    from sparseloop.report.networks.layers import network_table, totals_sentence
    from sparseloop.report.pictures import fitted, mapping_picture
    from sparseloop.report.search_text import front_texts, search_figures

    several, tables = len(network.layers) > 1, arguments.form == "table"
    for layer in network.layers:
        texts = front_texts(layer.best) if layer.best else []
        for text in [f"{layer.name}:", *texts] if texts and several else texts:
            print(text, file=sys.stdout if tables else sys.stderr)
    results = [layer.result for layer in network.layers if layer.result is not None]
    if arguments.form == "json":  # an empty list where nothing was found
        print_json(
            [
                layer.result.to_dict() | {"search": search_figures(layer.best)}
                for layer in network.layers
                if layer.best and layer.result
            ]
        )
    elif not tables and results:
        print_results(results, arguments.form)
    if tables and not (several and arguments.summary):
        for result in results:
            print(fitted(mapping_picture(result), terminal_width()) + "\n")
            print_tables([result], summary=arguments.summary)
    if several and tables:
        print_table(network_table(network))
    elif several:
        note(totals_sentence(network))
