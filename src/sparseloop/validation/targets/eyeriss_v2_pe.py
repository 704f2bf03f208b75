"""One PE of Eyeriss v2 on sparse MobileNet: cycles with uniform densities, with the layers' masks, with synthetic masks."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from sparseloop.input.diagnostics import Diagnostic, SpecError
from sparseloop.model.density.files import load_pattern
from sparseloop.validation.records import ExternalData, Findings, PublishedFigure, Target
from sparseloop.validation.shipped import error, run, table

DESIGN = "eyeriss_v2_pe"
UNIFORM = 0.001
"""The claim under test: Sparseloop's cycles, reproduced within 0.1 %."""
WORST = 0.07
"""Sparseloop's claim for uniform densities (MICRO 2022): within 7 % of the simulator."""

NETWORK = 0.02
"""Sparseloop's own total over the 28 layers is 1.6 % below the simulator's."""

Mask = npt.NDArray[np.bool_]


def findings(sources: ExternalData) -> Findings:
    """Cycles of the eight sparse layers and of the whole network."""
    layers = [layer for layer in table(DESIGN) if layer["channels"]]
    uniform = {layer["layer"]: run(DESIGN, f"architecture sparse {layer['layer']}").cycles for layer in layers}
    rows: list[PublishedFigure] = []
    for layer in layers:
        theirs, truth, ours = float(layer["sparseloop_cycles"]), float(layer["simulator_cycles"]), uniform[layer["layer"]]
        rows.append(
            PublishedFigure(
                case=layer["layer"], figure="cycles, uniform / Sparseloop", published=theirs, ours=ours, limit=UNIFORM
            )
        )
        why = "channels with many activations have many weights"
        rows.append(
            PublishedFigure(
                case=layer["layer"], figure="cycles, uniform / simulator", published=truth, ours=ours, limit=WORST, why=why
            )
        )
    rows.append(_network(uniform))
    rows += [_synthetic(layer) for layer in layers]
    skipped: tuple[str, ...] = ()
    if sources.masks is None:
        skipped = ("cycles with the layers' masks: name their folder with --masks (Lxx_iacts.txt, Lxx_weights.txt)",)
    else:
        given, missing = _masked(layers, sources.masks)
        rows += given
        skipped = tuple(f"{name}: not in {sources.masks}" for name in missing)
    against = [row.error for row in rows if row.figure == "cycles, uniform / simulator"]
    return Findings(rows=tuple(rows), skipped=skipped, notes=(f"uniform against the simulator: {error(against)}",))


def _network(uniform: dict[str, float]) -> PublishedFigure:
    every = table(DESIGN)
    truth = {layer["layer"]: float(layer["simulator_cycles"]) for layer in every}
    ratio = {layer["layer"]: float(layer["sparseloop_ratio"]) for layer in every}
    ours = sum(uniform.get(layer, truth[layer] * ratio[layer]) for layer in truth)
    why = "densities of the other 20 layers are not published; they stand at Sparseloop's ratios"
    figure = "cycles of the network, uniform / simulator"
    return PublishedFigure(case="28 layers", figure=figure, published=sum(truth.values()), ours=ours, limit=NETWORK, why=why)


def _masked(layers: list[dict[str, str]], folder: Path) -> tuple[list[PublishedFigure], list[str]]:
    rows, missing = list[PublishedFigure](), list[str]()
    for layer in layers:
        files = [folder / f"{layer['layer']}_{tensor}.txt" for tensor in ("iacts", "weights")]
        missing += [file.name for file in files if not file.is_file()]
        if not all(file.is_file() for file in files):
            continue
        filters, channels, positions = (int(layer[key]) for key in ("filters", "channels", "positions"))
        given = cycles(layer["layer"], _read(files[0], positions, channels), _read(files[1], filters, channels).T)
        truth = float(layer["simulator_cycles"])
        rows.append(
            PublishedFigure(case=layer["layer"], figure="cycles, masks / simulator", published=truth, ours=given, limit=0.0)
        )
    return rows, missing


def _read(file: Path, rows: int, columns: int) -> Mask:
    try:
        return np.asarray(load_pattern(file, shape=(rows, columns), order="last_fastest"))
    except ValueError as error:
        raise SpecError([Diagnostic(message=str(error))]) from None


def cycles(layer: str, inputs: Mask, weights: Mask) -> float:
    """Cycles of a layer with given masks: inputs (positions x channels), weights (channels x filters)."""
    with TemporaryDirectory() as folder:
        overrides: list[str] = []
        for tensor, mask in (("I", inputs), ("W", weights)):
            np.save(Path(folder) / f"{tensor}.npy", mask)
            overrides.append(f"workload.density.{tensor}={folder}/{tensor}.npy")
        return run(DESIGN, f"architecture sparse {layer}", *overrides).cycles


def _synthetic(layer: dict[str, str]) -> PublishedFigure:
    """Random masks with the layer's numbers of non-zeros, unevenly spread over the channels; truth: counted products."""
    inputs, weights = synthetic(layer)
    truth = float(np.dot(inputs.sum(0, dtype=np.int64), weights.sum(1, dtype=np.int64)))
    figure = "cycles, synthetic masks / counted"
    return PublishedFigure(
        case=layer["layer"], figure=figure, published=truth, ours=cycles(layer["layer"], inputs, weights), limit=0.0
    )


def synthetic(layer: dict[str, str]) -> tuple[Mask, Mask]:
    """Masks of inputs (positions x channels) and weights (channels x filters) with a layer's numbers of non-zeros."""
    filters, channels, positions = (int(layer[key]) for key in ("filters", "channels", "positions"))
    rng = np.random.default_rng(int(layer["layer"][1:]))
    uneven = rng.normal(size=channels)
    scores = (rng.normal(size=(positions, channels)) + uneven, rng.normal(size=(channels, filters)) + uneven[:, None])
    inputs, weights = (_largest(s, int(layer[key])) for s, key in zip(scores, ("nonzeros_i", "nonzeros_w"), strict=True))
    return inputs, weights


def _largest(scores: npt.NDArray[np.float64], count: int) -> Mask:
    mask = np.zeros(scores.size, bool)
    mask[np.argsort(scores, axis=None, kind="stable")[scores.size - count :]] = True
    return mask.reshape(scores.shape)


TARGET = Target(
    name=DESIGN,
    title="Eyeriss v2: cycles of one PE on sparse MobileNet-0.5",
    citation="Chen, Yang, Emer, Sze, JETCAS 9(2), 2019; cycles: Wu et al., MICRO 2022, Fig. 12 and artifact",
    run=findings,
)
