"""SCNN: every runtime activity against the walker, and speed and energy by density against a dense machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files

import numpy as np

from sparseloop.evaluation.evaluate import evaluate
from sparseloop.evaluation.result import Result
from sparseloop.input.load import load
from sparseloop.validation.against_walker import model_activities, random_pattern, walker, walker_activities
from sparseloop.validation.records import ExternalData, Findings, PublishedFigure, Target
from sparseloop.validation.shipped import table
from sparseloop.validation.targets.scnn_network import network_speed
from sparseloop.validation.walker import Walker

DRAWS = 40
SEED = 0
LIMIT = 0.01
"""99 % accuracy on runtime activities (Wu et al., ISPASS 2021, abstract)."""
ACTIVITY_KINDS = ("computes", "reads", "writes")


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
    ours = (network_speed(1.0), network_speed(0.1), break_even(network_speed), break_even(energy))
    for line, value in zip(table("scnn_sweep"), ours, strict=True):
        rows.append(PublishedFigure(case=line["case"], figure=line["figure"], published=float(line["published"]), ours=value))
    return Findings(rows=tuple(rows), notes=(*NOTES, *sweep_notes()))


def sweep_notes() -> Iterator[str]:
    """Gains over the dense machine by density of both operands."""
    densities = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    for name, gain in (("speed", network_speed), ("energy", energy)):
        yield f"{name} over dense at densities 0.1 to 1: {', '.join(f'{gain(d):.3g}' for d in densities)}"


NOTES = (
    f"layers: published is the walker's mean over {DRAWS} draws of uniform tensors on SCNN's dataflow (8 x 4 channels, 8 x 8 "
    "plane, 3 x 3 filter, 4 PEs), P10-P90 that of single draws; weight densities of Han (NIPS 2015), input densities of "
    "Chen (JSSC 2017), output densities those of the next layer (of the last layers their own); words and metadata together",
    "speed: the 54 convolutions of GoogLeNet's inception modules; vectors of 4, of which planes of 7 x 7 use one word in four; "
    "as many output channels at once as the 1024 sums of a PE have room for; PEs wait for each other when they exchange halos, "
    "at the end of such a group; without conflicts of accumulator banks and without the DRAM",
    "energy: `eval` of one 3 x 3 layer of the network",
    "the published break-even with DCNN-opt (0.60) is not compared: no such machine is shipped",
)

TARGET = Target(
    name="scnn",
    title="SCNN: runtime activities against the walker; speed and energy by density",
    citation="claim of 99 %: Wu, Emer, Sze, ISPASS 2021; sweep: Parashar et al., ISCA 2017 (figures quoted second-hand)",
    run=run,
)
