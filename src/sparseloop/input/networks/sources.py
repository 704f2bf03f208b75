"""Recognises a network among the input files and reads it: ONNX, `config.json` of Hugging Face, shipped networks by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from sparseloop.input.diagnostics import Diagnostic, Span, SpecError, check_arguments, check_fields, did_you_mean
from sparseloop.input.networks.huggingface import ModelRun, is_config, read_config
from sparseloop.input.networks.layers import NeuralNetwork, repeated_names
from sparseloop.input.networks.zoo import ZOO, zoo_network
from sparseloop.input.yaml.files import to_yaml

if TYPE_CHECKING:
    from sparseloop.input.networks.pruning import Pruning

_CHOICES = {"phase": ("prefill", "decode"), "mla": ("absorbed", "expanded"), "prune_global": ("true", "false")}
_PICKLED = (".pt", ".pth", ".pt2", ".pkl")
"""Endings of files of PyTorch: loading one can run code that stands in it."""
_TEXTS = ("prune", "prune_layers", "inputs")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """What a network file leaves open."""

    dims: Mapping[str, int] = field(default_factory=dict[str, int])
    """Sizes of free axes: seq, batch, and those that a model names."""
    phase: Literal["prefill", "decode"] = "prefill"
    mla: Literal["", "absorbed", "expanded"] = ""
    prune: str = ""
    """'2:4', '4x4:0.25' or '0.3': which weights of an ONNX model become zero, by magnitude."""
    prune_layers: str = ""
    """Pattern of the names of the layers that are pruned: 'Conv*'."""
    prune_global: bool = False
    """The share that stays is that of all layers together."""
    inputs: str = ""
    """An .npz file of samples on which an ONNX model is run, for the zeros of its activations."""
    values: Mapping[str, float] = field(default_factory=dict[str, float])
    """Numbers of inputs that decide on branches (ONNX)."""

    def __post_init__(self) -> None:
        check_fields(self)

    def with_values(self, given: Sequence[str]) -> SourceOptions:
        """The options with 'dim.NAME=SIZE', 'input.NAME=NUMBER', 'network.phase=decode', 'network.mla=absorbed' applied."""
        options = self
        for text in given:
            name, _, value = (part.strip() for part in text.partition("="))
            if name.startswith(_DIM):
                options = replace(options, dims={**options.dims, name.removeprefix(_DIM): _size(text, value)})
            elif name.startswith(_INPUT):
                options = replace(options, values={**options.values, name.removeprefix(_INPUT): _number(text, value)})
            else:
                options = options._with_choice(text, name.removeprefix(_NETWORK), value)
        return options

    def _with_choice(self, text: str, key: str, value: str) -> SourceOptions:
        """The options with the value of 'network.KEY=VALUE'."""
        if key not in _TEXTS and key not in _CHOICES:
            right = f"written {text.strip().removeprefix(_NETWORK)}" if key.startswith((_DIM, _INPUT)) else None
            raise _wrong(text, f"a network has no option '{key}'", right or did_you_mean(key, [*_CHOICES, *_TEXTS]))
        if key in _CHOICES and value not in _CHOICES[key]:
            raise _wrong(text, f"{key}: expected {' or '.join(_CHOICES[key])}, got '{value}'")
        changes: dict[str, Any] = {key: value == "true" if key == "prune_global" else value}
        return replace(self, **changes)

    def pruning(self) -> Pruning | None:
        """What is pruned, None without `prune`."""
        from sparseloop.input.networks.pruning import parse_pruning  # with NumPy

        if not self.prune:
            if self.prune_layers or self.prune_global:
                raise _wrong("--prune-layers" if self.prune_layers else "--global", "says how --prune prunes, which is not given")
            return None
        try:
            found = parse_pruning(self.prune, across=self.prune_global, layers=self.prune_layers)
        except ValueError:
            hint = "2:4, 4x4:0.25 (a quarter of the blocks stays) or 0.3 (of the weights stays)"
            raise _wrong("--prune", f"cannot read '{self.prune}'", hint) from None
        if found.n and found.across:
            raise _wrong("--global", f"{self.prune} keeps {found.n} of every {found.m} weights in all layers alike")
        return found

    def model_run(self) -> ModelRun:
        """As transformers understand them; other axes are mistakes."""
        if unknown := [name for name in self.dims if name not in ("seq", "batch")]:
            raise _wrong(f"dim {unknown[0]}", f"the network has no free axis '{unknown[0]}'", "free axes: seq, batch")
        dims = self.dims
        return ModelRun(seq=dims.get("seq"), batch=dims.get("batch", 1), phase=self.phase, mla=cast("Any", self.mla or None))


_DIM, _INPUT, _NETWORK = "dim.", "input.", "network."


def source_overrides(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those of the overrides that tell how to read a network, and the rest."""
    ours = [text for text in overrides if text.strip().startswith((_DIM, _INPUT, _NETWORK))]
    return ours, [text for text in overrides if text not in ours]


def _size(text: str, value: str) -> int:
    if not value.isdecimal() or not 0 < int(value) < 2**31:
        raise _wrong(text, f"expected a size above 0, got '{value}'", "e.g. --dim seq=2048")
    return int(value)


def _number(text: str, value: str) -> float:
    try:
        return {"true": 1.0, "false": 0.0}[value] if value in ("true", "false") else float(value)
    except ValueError:
        raise _wrong(text, f"expected a number, got '{value}'", "e.g. --set input.sr=16000") from None


def _wrong(place: str, message: str, hint: str | None = None) -> SpecError:
    return SpecError([Diagnostic(path=(place,), message=message, hint=hint)])


def is_onnx(file: str | Path) -> bool:
    """True for an ONNX file: its name ends so, or it begins as one (the version of the format, then its producer or graph)."""
    path = Path(file)
    if not path.is_file():
        return False
    if path.suffix == ".onnx":
        return True
    with path.open("rb") as stream:
        head = stream.read(3)
    return len(head) == 3 and head[0] == 0x08 and head[1] < 0x40 and head[2] in (0x12, 0x3A)


def is_network(file: str | Path) -> bool:
    """True if a file is a network, or a name of a shipped one for which there is no file."""
    if not Path(file).exists():
        return str(file).lower().replace("-", "_") in ZOO
    return Path(file).suffix.lower() in _PICKLED or is_onnx(file) or is_config(file)


def read_network(file: str | Path, options: SourceOptions | None = None) -> NeuralNetwork:
    """The network in a file, or the shipped one of that name; raises `SpecError`."""
    check_arguments(read_network, locals())
    options = options or SourceOptions()
    network = _read(file, options)
    if twice := repeated_names(network.layers):
        raise AssertionError(f"layers have the same name: {', '.join(twice)}")
    return network


def _read(file: str | Path, options: SourceOptions) -> NeuralNetwork:
    if Path(file).exists() and Path(file).suffix.lower() in _PICKLED:
        hint = f'in PyTorch: torch.onnx.export(module, inputs, "{Path(file).stem}.onnx"), and take that file'
        raise SpecError([Diagnostic(message="files of PyTorch are not read: loading one can run code", hint=hint,
                                    span=Span(str(file), None, None))])  # fmt: skip
    if is_onnx(file):
        from sparseloop.input.networks.onnx_graph import OnnxOptions  # with NumPy, which light commands do without
        from sparseloop.input.networks.onnx_network import read_onnx

        left_open = OnnxOptions(dims=options.dims, values=options.values)
        return read_onnx(file, left_open, prune=options.pruning(), inputs=options.inputs)
    asked = {
        "--prune": options.prune,
        "--prune-layers": options.prune_layers,
        "--global": options.prune_global,
        "--inputs": options.inputs,
    }
    if given := [name for name, value in asked.items() if value]:
        raise _wrong(given[0], "only models of ONNX have weights and can be run")
    if options.values:
        raise _wrong(f"input.{next(iter(options.values))}", "only models of ONNX have inputs that are set")
    run = options.model_run()
    return read_config(file, run) if Path(file).exists() else zoo_network(str(file), run)


def network_text(network: NeuralNetwork) -> str:
    """The layers as YAML in the native format."""
    return to_yaml(network.to_data())


def summary_lines(network: NeuralNetwork) -> list[str]:
    """What was read, and what of it is no layer."""
    runs = sum(layer.times for layer in network.layers)
    met = sum(layer.multiplications * layer.padding_share for layer in network.layers) / (network.multiplications or 1)
    lines = [
        f"{network.name}: {len(network.layers)} layers ({runs} runs), {network.multiplications} multiplications, "
        f"{network.parameters} parameters" + (f"; {100 * met:.2g} % of the multiplications meet padding" if met else "")
    ]
    lines += [f"source: {network.source}"] if network.source else []
    lines += list(network.notes)
    for other in network.others:
        shown = ", ".join(other.names[:3]) + (f" and {len(other.names) - 3} more" if len(other.names) > 3 else "")
        lines.append(f"{other.type}: {other.done} ({shown}; {other.words} words)")
    return lines + [f"{layer.name}: {layer.remark}" for layer in network.layers if layer.remark]
