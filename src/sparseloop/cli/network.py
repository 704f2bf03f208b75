"""Networks on the command line: what a file leaves open, imports, and the shipped ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sparseloop.cli.output import note


def reading_options(dims: Sequence[str] | None, phase: str | None) -> list[str]:
    """The options --dim and --phase as overrides."""
    return [*(f"dim.{dim}" for dim in dims or ()), *([f"network.phase={phase}"] if phase else [])]


def is_one_network(files: Sequence[str]) -> bool:
    """True if there is nothing but a network."""
    from sparseloop.input.networks.sources import is_network

    return len(files) == 1 and is_network(files[0])


def import_network(file: str, output: str, overrides: Sequence[str]) -> None:
    """Writes the layers of a network as native YAML, and says what was read."""
    from sparseloop.input.networks.sources import SourceOptions, network_text, read_network, source_overrides, summary_lines
    from sparseloop.input.yaml.nodes import wrong_file

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
        Path(output).write_text(text, encoding="utf-8")
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
