"""A network on a machine: its layers, and what the machine's files say in roles, become one specification.

What depends on a layer is settled here: formats of a tensor that is dense are left out (they would only add metadata), the
variable `BITS` is the width of a position in n:m weights, widths of words by role are those of its tensors, and a layer of
experts gets the feature that leaves out those without a token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from sparseloop.designs import machine_files
from sparseloop.input.densities.words import parse_density
from sparseloop.input.diagnostics import Diagnostic, SpecError, check_arguments
from sparseloop.input.load import refuse_others, spec_of_data
from sparseloop.input.networks.layers import NeuralNetwork
from sparseloop.input.networks.sources import SourceOptions, is_network, network_text, read_network, source_overrides
from sparseloop.input.roles import ROLES, roles_of
from sparseloop.input.spec import Spec, with_shared
from sparseloop.input.yaml.files import load_files

BITS = "BITS"
"""The variable of a design's files that stands for the bits of a position in n:m weights; such a design needs n:m weights."""
KEPT, GROUP = "KEPT", "GROUP"
"""Variables of a design's files: of n:m weights it takes those with m = GROUP and n of at most KEPT; without them any."""
Fields = dict[str, Any]


def network_on(
    network: str | Path | NeuralNetwork, design: str | Path | Sequence[str | Path], overrides: Sequence[str] = ()
) -> Spec:
    """A network (read, a file, a shipped one, or YAML with `layers:`) on a machine; raises `SpecError`.

    `design` is a list of files, or one text as with `--on`: a shipped design, a folder, a file, 'a.yaml+b.yaml'.
    """
    check_arguments(network_on, locals())
    reading, rest = source_overrides(overrides)
    files: list[str | Path] = list(machine_files(str(design)) if isinstance(design, str | Path) else design)
    texts = dict[str, str]()
    if isinstance(network, NeuralNetwork):
        texts[network.name] = network_text(network)
    elif is_network(network):
        texts[str(network)] = network_text(read_network(network, SourceOptions().with_values(reading)))
    else:
        if reading:
            hint = "they say how a network is read"
            raise SpecError([Diagnostic(path=(reading[0],), message="there is no network among the files", hint=hint)])
        files = [Path(network), *files]
    _refuse_mixed_up(files if texts else files[1:], None if texts else files[0])
    data, source = load_files(files, rest, texts=texts)
    spec = spec_of_data(data, source)
    if not spec.layers:
        message = f"{network} has no layers"
        hint = "a network file, or YAML with layers: (a single workload: is searched by sparseloop map)"
        raise SpecError([Diagnostic(message=message, hint=hint)])
    if spec.reading != "native":
        raise SpecError([Diagnostic(message="a network needs a machine in the native format", hint="sparseloop import")])
    features = cast("Fields", data.get("sparse") or {})
    shared = cast("Fields", data.get("workload") or {})
    whole = [_with_word_bits(layer, shared) for layer in cast("list[Fields]", data["layers"])]
    layers = [_on_layer(layer, features, spec) for layer in whole]
    return Spec.model_validate({**data, "workload": {}, "layers": layers}).with_source(source)


def _refuse_mixed_up(machine: Sequence[str | Path], network: str | Path | None) -> None:
    """Says which file is a study or a result, or a machine where a network should be: merged, they would only contradict."""
    for file in (*machine, *([network] if network is not None else [])):
        data, source = load_files([file])
        try:
            refuse_others(data)
        except SpecError as error:
            raise error.located(source) from None
        if file is network and "architecture" in data and not {"layers", "workload"} & set(data):
            hint = "it belongs to --on; the network is a model, YAML with layers:, or the name of a shipped one"
            wrong = Diagnostic(path=("architecture",), message="this is a machine, not a network", hint=hint, key=True)
            raise SpecError([wrong]).located(source)


def _on_layer(layer: Fields, features: Fields, spec: Spec) -> Fields:
    """The layer with the sparse features that the machine has for it, where these are not those of all."""
    if layer.get("sparse") is not None:
        return layer
    einsum, roles = str(layer["einsum"]), _roles(layer)
    density: Fields = layer.get("density") or {}
    own = features
    if BITS in spec.variables:
        weights = density.get(roles.get("weights", ""))
        bits = position_bits(weights) if _takes(weights, spec.variables) else None
        own = Fields() if bits is None else _with_bits(own, bits)
    own = {name: _without_dense(level or {}, density, roles) for name, level in own.items()}
    if "* R[" in einsum:
        own = _with_routes(own, spec.architecture.levels[0].name)
    if own == features:
        return layer
    return {**layer, "sparse": {**{name: Fields() for name in features}, **own}}


def _roles(layer: Fields) -> dict[str, str]:
    return roles_of(str(layer["einsum"]), layer.get("roles") or {})


def _with_word_bits(layer: Fields, shared: Fields) -> Fields:
    """The layer with what all have in common; widths that the machine gives by role are those of its tensors."""
    widths = shared.get("word_bits")
    if not isinstance(widths, dict):
        return with_shared(layer, shared)
    roles, by_name = _roles({**shared, **layer}), cast("Fields", widths)
    named = {roles.get(name, name): bits for name, bits in by_name.items() if name in roles or name not in ROLES}
    return with_shared(layer, {**shared, "word_bits": named})


def _takes(density: Any, variables: Mapping[str, Any]) -> bool:
    """False if the machine takes other n:m weights only."""
    if GROUP not in variables:
        return True
    ratios = _ratios(density)
    return len(ratios) == 1 and ratios[0][1] == int(variables[GROUP]) and ratios[0][0] <= int(variables[KEPT])


def position_bits(density: Any) -> int | None:
    """Bits that name one of the m positions of each level, of n:m weights; None of others."""
    ratios = _ratios(density)
    return max(1, sum((m - 1).bit_length() for _, m in ratios)) if ratios else None


def _ratios(density: Any) -> list[tuple[int, int]]:
    """n and m of each level of n:m weights, outermost first; none of others."""
    plain = parse_density(density) if isinstance(density, str) else density
    fields = cast("Fields", plain) if isinstance(plain, Mapping) else Fields()
    if fields.get("model") not in ("structured", "hierarchical"):
        return []
    if "m" in fields:
        return [(int(fields["n"]), int(fields["m"]))]
    return [(int(n), int(m)) for n, _, m in (ratio.partition(":") for ratio in fields["ratios"])]


def _with_bits(value: Any, bits: int) -> Any:
    """The data with the number of bits in the place of the variable."""
    if isinstance(value, dict):
        return {key: _with_bits(entry, bits) for key, entry in cast("Fields", value).items()}
    if isinstance(value, list):
        return [_with_bits(entry, bits) for entry in cast("list[Any]", value)]
    return re.sub(rf"\b{BITS}\b", str(bits), value) if isinstance(value, str) else value


def _without_dense(level: Fields, density: Fields, roles: Mapping[str, str]) -> Fields:
    """A level without the formats of tensors that are dense."""
    formats: Fields = level.get("formats") or {}
    kept = {name: form for name, form in formats.items() if not _dense(density.get(roles.get(name, name)))}
    if kept == formats:
        return level
    rest = {key: value for key, value in level.items() if key != "formats"}
    return {**rest, "formats": kept} if kept else rest


def _dense(density: Any) -> bool:
    fields = cast("Fields", density) if isinstance(density, Mapping) else {"density": density}
    return density is None or (set(fields) == {"density"} and fields["density"] in (1, 1.0, "1", "100%"))


def _with_routes(features: Fields, outermost: str) -> Fields:
    """Weights of experts without a token are not fetched, products of others not made."""
    level: Fields = features.get(outermost) or {}
    skip: list[Any] = level.get("skip") or []
    formats: Fields = level.get("formats") or {}
    return {**features, outermost: {**level, "formats": {**formats, "R": "B(*)"}, "skip": [*skip, "W <- R", "I <- R", "O <- R"]}}
