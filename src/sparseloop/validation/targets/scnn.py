"""SCNN: every runtime activity against the walker, and speed and energy by density against a dense machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files

import numpy as np

from sparseloop.evaluation.evaluate import evaluate
from sparseloop.evaluation.result import Result
from sparseloop.input.load import load
from sparseloop.model.density import Uniform
from sparseloop.validation.against_walker import model_activities, random_pattern, walker, walker_activities
from sparseloop.validation.records import ExternalData, Findings, PublishedFigure, Target
from sparseloop.validation.shipped import table
from sparseloop.validation.walker import Walker

DRAWS = 40
SEED = 0
LIMIT = 0.01
"""99 % accuracy on runtime activities (Wu et al., ISPASS 2021, abstract)."""
ACTIVITY_KINDS = ("computes", "reads", "writes")
PES = 64
VECTOR = 4
"""Activations, and weights, taken at once."""
CHANNELS, SIDE, FILTER, GROUP, PLANE = 64, 56, 9, 8, 7
"""Layer and tile of designs/scnn/conv2.yaml: a PE holds 7 x 7 activations of a channel and 8 x 9 weights of a group."""


def evaluated(names: tuple[str, ...], densities: dict[str, float]) -> Result:
    """Shipped files of the design; densities by tensor."""
    folder = files("sparseloop")
    parts = [str(folder.joinpath(f"{name}.yaml")) for name in names]
    return evaluate(load(*parts, overrides=[f"workload.density.{tensor}={value}" for tensor, value in densities.items()]))


def small(inputs: float = 1.0, weights: float = 1.0, outputs: float = 1.0) -> Result:
    """The dataflow on a layer that can be walked."""
    machine = ("designs/scnn/architecture", "designs/scnn/sparse", "validation/specs/scnn/small")
    return evaluated(machine, {"I": inputs, "W": weights, "O": outputs})


@cache
def small_walker() -> Walker:
    """What does not depend on the values, found once."""
    return walker(small().design)


def group(name: str) -> str:
    """computes, reads or writes."""
    return name if name == "computes" else "reads" if name.endswith("reads") else "writes"


def drawn(result: Result, draws: int) -> list[dict[str, float]]:
    """Activities of the walker on so many draws of uniform tensors of the result's densities."""
    dice = np.random.default_rng(SEED)
    models = {t.name: t.density for t in result.design.einsum.tensors}
    found: list[dict[str, float]] = []
    for _ in range(draws):
        data = {name: random_pattern(m.shape, round(m.density * m.total), dice) for name, m in models.items()}
        found.append(walker_activities(result.design, small_walker().walk(data)))
    return found


def layer_rows(case: str, result: Result, draws: int) -> Iterator[PublishedFigure]:
    """Computes, reads and writes: ours beside the walker's mean, and the spread of its draws."""
    ours = model_activities(result)
    seen = drawn(result, draws)
    for kind in ACTIVITY_KINDS:
        names = [name for name in ours if group(name) == kind]
        sums = [sum(draw[name] for name in names) for draw in seen]
        low, high = (float(np.quantile(sums, share)) for share in (0.1, 0.9))
        published, mine = float(np.mean(sums)), sum(ours[name] for name in names)
        yield PublishedFigure(case=case, figure=kind, published=published, ours=mine, limit=LIMIT, low=low, high=high)


def cycles_of_channel(density: float) -> float:
    """Cycles of one channel and group: E[max over the PEs of ceil(kI / 4)] E[ceil(kW / 4)].

    kI, kW: non-zeros of a PE's activations and of the group's weights, from the density model; PEs taken as independent.
    """
    plane = Uniform((CHANNELS, SIDE, SIDE), density).occupancy(PLANE**2, (1, PLANE, PLANE))
    vectors = np.ceil(plane.values / VECTOR)
    at_most = np.cumsum(np.bincount(vectors.astype(np.int64), plane.weights))
    slowest = float(np.arange(len(at_most)) @ np.diff(at_most**PES, prepend=0.0))
    weights = Uniform((GROUP * CHANNELS * 3, FILTER), density)
    return slowest * float(weights.blocks(GROUP * FILTER, (GROUP, FILTER), VECTOR))


def speed(density: float) -> float:
    """Cycles of a dense machine with as many multipliers over those of the sparse one."""
    return PLANE**2 * GROUP * FILTER / VECTOR**2 / cycles_of_channel(density)


def energy(density: float) -> float:
    """Energy of a dense machine over that of the sparse one."""
    machine = ("designs/scnn/architecture", "designs/scnn/sparse", "designs/scnn/conv2")
    sparse = evaluated(machine, {"I": density, "W": density})
    return _dense().energy_pj / sparse.energy_pj


@cache
def _dense() -> Result:
    return evaluated(("designs/scnn/architecture", "designs/scnn/dense", "designs/scnn/conv2_dense"), {})


def break_even(gain: Callable[[float], float]) -> float:
    """The density at which a falling gain is 1, by halving 0.1 to 1."""
    low, high = 0.1, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if gain(middle) > 1 else (low, middle)
    return (low + high) / 2


def run(_: ExternalData) -> Findings:
    """18 layers against the walker; the sweep against the paper."""
    rows: list[PublishedFigure] = []
    for line in table("scnn_layers"):
        inputs, following = (1 - float(line[f"{which}_percent"]) / 100 for which in ("zero_inputs", "next_zero"))
        result = small(inputs, float(line["weights_percent"]) / 100, following)
        rows += layer_rows(f"{line['network']} {line['layer']}", result, DRAWS)
    ours = (speed(1.0), speed(0.1), break_even(speed), break_even(energy))
    for line, value in zip(table("scnn_sweep"), ours, strict=True):
        rows.append(PublishedFigure(case=line["case"], figure=line["figure"], published=float(line["published"]), ours=value))
    return Findings(rows=tuple(rows), notes=(*NOTES, *sweep_notes()))


def sweep_notes() -> Iterator[str]:
    """Gains over the dense machine by density of both operands."""
    densities = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    for name, gain in (("speed", speed), ("energy", energy)):
        yield f"{name} over dense at densities 0.1 to 1: {', '.join(f'{gain(d):.3g}' for d in densities)}"


NOTES = (
    f"layers: published is the walker's mean over {DRAWS} draws of uniform tensors on SCNN's dataflow (8 x 4 channels, 8 x 8 "
    "plane, 3 x 3 filter, 4 PEs), P10-P90 that of single draws; weight densities of Han (NIPS 2015), input densities of "
    "Chen (JSSC 2017), output densities those of the next layer (of the last layers their own); words and metadata together",
    "sweep: one 3 x 3 layer of GoogLeNet, published for the whole network, most of whose planes are smaller; speed from vectors "
    "of 4 and the slowest PE per channel, without conflicts of accumulator banks and without the DRAM; energy from `eval`",
    "the published break-even with DCNN-opt (0.60) is not compared: no such machine is shipped",
)

TARGET = Target(
    name="scnn",
    title="SCNN: runtime activities against the walker; speed and energy by density",
    citation="claim of 99 %: Wu, Emer, Sze, ISPASS 2021; sweep: Parashar et al., ISCA 2017 (figures quoted second-hand)",
    run=run,
)
