"""`sparseloop network`: a network on several machines; imports of networks, and the shipped ones."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparseloop.cli.failures import Interrupted
from sparseloop.cli.options import (
    OUTPUT,
    Dims,
    FormOption,
    InputFiles,
    Overrides,
    PhaseOption,
    PruneGlobal,
    PruneLayers,
    PruneOption,
    Workers,
    no_folder,
    option_mistakes,
    output_mistakes,
    writable_folder,
)
from sparseloop.cli.output import note, print_table, warn
from sparseloop.cli.progress import status_line
from sparseloop.input.diagnostics import Diagnostic, SpecError

if TYPE_CHECKING:
    from sparseloop.input.networks.layers import NeuralNetwork
    from sparseloop.input.spec import Spec
    from sparseloop.mapper.network import NetworkProgress, NetworkResult
    from sparseloop.mapper.options import SearchOptions

Patterns = dict[str, dict[str, Any]]
"""Arrays of weights by layer and tensor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingArguments:
    """What commands that read a network say of it."""

    overrides: Overrides = None
    dims: Dims = None
    phase: PhaseOption = None
    prune: PruneOption = None
    prune_layers: PruneLayers = None
    prune_global: PruneGlobal = False
    inputs: Annotated[
        str | None, typer.Option(metavar="FILE", help="An .npz of samples: runs the model once for the zeros of its activations.")
    ] = None

    @property
    def reading(self) -> list[str]:
        """All of them as overrides."""
        named = {
            "phase": self.phase,
            "prune": self.prune,
            "prune_layers": self.prune_layers,
            "prune_global": "true" if self.prune_global else None,
            "inputs": self.inputs,
        }
        texts = [f"network.{name}={value}" for name, value in named.items() if value]
        return [*(self.overrides or ()), *(f"dim.{dim}" for dim in self.dims or ()), *texts]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportArguments(ReadingArguments):
    """The arguments of `sparseloop import`."""

    files: InputFiles
    output: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help="Write there, not to stdout.")] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkArguments(ReadingArguments):
    """The arguments of `sparseloop network`."""

    network: Annotated[str, typer.Argument(metavar="NET", help="ONNX, config.json, YAML with layers, or a shipped network.")]
    machines: Annotated[
        list[str], typer.Option("--on", metavar="DESIGN", help="A shipped design, a folder, a file, or files: a.yaml+b.yaml.")
    ]
    minimize: Annotated[str, typer.Option(metavar="WHAT", help="energy, cycles, edp, ed2p ...")] = "edp"
    method: Annotated[str, typer.Option(metavar="METHOD", help="As for map.")] = "auto"
    budget: Annotated[str, typer.Option(metavar="N|TIME", help="Of one layer on one machine.")] = "20s"
    workers: Workers = 1
    resume: Annotated[
        str | None, typer.Option(metavar="DIR", help="Keep every finished layer there, and do not search it again.")
    ] = None
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="Also write an HTML page.")] = None
    form: FormOption = "table"

    @property
    def search(self) -> SearchOptions:
        """The options of the searches."""
        from sparseloop.mapper.options import SearchOptions

        return SearchOptions(minimize=self.minimize, method=self.method, budget=self.budget, workers=self.workers)


def compare_machines(arguments: NetworkArguments) -> bool:
    """Maps a network on every machine and prints the comparison; True if every layer has a mapping on each."""
    from sparseloop.mapper.network import map_machines

    _check(arguments)
    specs, patterns = _specifications(arguments)
    with status_line("searching ...") as show:
        machines = map_machines(
            specs, arguments.search, folder=arguments.resume or "", watch=partial(_watch, show, several=len(specs) > 1)
        )
    warn([text for one in machines.values() for layer in one.layers if layer.result for text in layer.result.warnings])
    machines = {name: network.with_data(patterns) for name, network in machines.items()}
    warn(_not_fitting(machines))
    _print(machines, arguments)
    if any(layer.interrupted for network in machines.values() for layer in network.layers):
        raise Interrupted
    return all(network.complete for network in machines.values())


def _not_fitting(machines: dict[str, NetworkResult]) -> list[str]:
    """Mappings that the zeros as they are stored make too large."""
    layers = [(name, layer) for name, network in machines.items() for layer in network.layers]
    return [
        f"{name}, {layer.name}: with the zeros as they are stored the mapping does not fit: {layer.on_data.reasons[0]}"
        for name, layer in layers
        if layer.on_data is not None and not layer.on_data.valid
    ]


def _specifications(arguments: NetworkArguments) -> tuple[dict[str, Spec], Patterns]:
    """By machine, the network on it, and the zeros that it stores; all that is wrong is found before anything is searched."""
    from sparseloop.designs import machine_files
    from sparseloop.designs.on_machine import network_on
    from sparseloop.evaluation.evaluate import design_of
    from sparseloop.input.networks.sources import SourceOptions, is_network, read_network, source_overrides, summary_lines

    overrides = arguments.reading
    specs: dict[str, Spec] = {}
    network: str | NeuralNetwork = arguments.network
    if is_network(network):  # read once for all machines; a file with its layers is read with each
        reading, overrides = source_overrides(overrides)
        network = read_network(network, SourceOptions().with_values(reading))
        note("\n".join(summary_lines(network)))
    other = any("density" in text for text in overrides)  # other zeros are asked for
    patterns = {} if isinstance(network, str) or other else network.patterns
    for name in dict.fromkeys(arguments.machines):
        spec = network_on(network, machine_files(name), overrides).unmapped()
        for layer in spec.per_layer():
            design_of(layer)
        label = _label(name)
        specs[name if label in specs else label] = spec
    return specs, patterns


def _label(machine: str) -> str:
    """What tables call a machine: files without folders and endings, 'vx+dataflow'."""
    return "+".join(Path(part).stem if Path(part).exists() else part for part in machine.split("+"))


def _check(arguments: NetworkArguments) -> None:
    from sparseloop.mapper.objectives import objective
    from sparseloop.mapper.options import parse_budget
    from sparseloop.mapper.search import known_method

    mistakes = [
        *option_mistakes("--minimize", lambda: objective(arguments.minimize)),
        *option_mistakes("--method", lambda: known_method(arguments.method)),
        *option_mistakes("--budget", lambda: parse_budget(arguments.budget, arguments.method)),
        *option_mistakes(OUTPUT, lambda: arguments.output is None or no_folder(arguments.output)),
    ]
    if not mistakes and arguments.output is not None:
        mistakes += output_mistakes([Path(arguments.output)])
    if arguments.resume is not None:
        mistakes += option_mistakes("--resume", partial(writable_folder, Path(arguments.resume), make=True))
    if mistakes:
        raise SpecError(mistakes)


def _watch(show: object, progress: NetworkProgress, *, several: bool) -> None:
    from sparseloop.report.search_text import layer_lines, network_progress_line

    if progress.finished is None:
        if callable(show):
            show(network_progress_line(progress))
        return
    note("\n".join(layer_lines(progress.finished, several=several or progress.total > 1)))


def _print(machines: dict[str, NetworkResult], arguments: NetworkArguments) -> None:
    """Tables, JSON or CSV, and the page."""
    from sparseloop.input.yaml.whole_files import write_text_whole
    from sparseloop.report.borders import write_csv
    from sparseloop.report.networks import machines as tables

    if arguments.form == "json":
        print(json.dumps(tables.machines_data(machines), indent=2, ensure_ascii=False))
    elif arguments.form == "csv":
        rows = [["" if value is None else value for value in row.values()] for row in tables.machine_rows(machines)]
        write_csv(sys.stdout, tables.MACHINE_COLUMNS, rows)
    else:
        print_table(tables.layers_table(machines))
        print_table(tables.totals_table(machines))
    if arguments.output is None:
        return
    options = [*(("--on", name) for name in arguments.machines), *(("--set", text) for text in arguments.reading)]
    command = shlex.join(["sparseloop", "network", arguments.network, *(word for option in options for word in option)])
    try:
        write_text_whole(Path(arguments.output), tables.machines_page(Path(arguments.network).stem, machines, [command]))
    except OSError as error:
        raise SpecError([Diagnostic(path=(OUTPUT,), message=f"cannot write {arguments.output} ({error.strerror})")]) from None
    note(f"written to {arguments.output}")


def is_one_network(files: Sequence[str]) -> bool:
    """True if there is nothing but a network."""
    from sparseloop.input.networks.sources import is_network

    return len(files) == 1 and is_network(files[0])


def import_network(file: str, output: str, overrides: Sequence[str]) -> None:
    """Writes the layers of a network as native YAML, and says what was read."""
    from sparseloop.input.networks.sources import SourceOptions, network_text, read_network, source_overrides, summary_lines
    from sparseloop.input.yaml.nodes import wrong_file
    from sparseloop.input.yaml.whole_files import write_text_whole

    reading, rest = source_overrides(overrides)
    if rest:
        raise wrong_file(f"--set {rest[0]}", "a network alone has no such value", "give it with the machine's files")
    network = read_network(file, SourceOptions().with_values(reading))
    note("\n".join(summary_lines(network)))
    text = network_text(network)
    if not output:
        print(text, end="")
        return
    try:
        write_text_whole(Path(output), text)
    except OSError as error:
        raise wrong_file(output, f"cannot write the file: {error.strerror}") from None


def print_shipped_network(name: str | None) -> None:
    """The shipped networks with their sources, or the layers of one."""
    from sparseloop.input.networks.sources import network_text, summary_lines
    from sparseloop.input.networks.zoo import ZOO, zoo_network

    if name is not None:
        network = zoo_network(name)
        note("\n".join(summary_lines(network)))
        print(network_text(network), end="")
        return
    widest = max(map(len, ZOO))
    longest = max(len(entry.title) for entry in ZOO.values())
    for label, entry in ZOO.items():
        print(f"{label:<{widest}}  {entry.title:<{longest}}  {entry.source}")
