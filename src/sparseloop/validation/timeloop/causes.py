"""Which fault of Timeloop stands behind a figure that differs: its reading recomputed, or the features it needs present.

A cause is `sure` if the fault's own reading gives their number; else the design only has what the fault needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from typing import Any

from sparseloop.model.density import Banded, Uniform
from sparseloop.model.design.einsum import Tensor
from sparseloop.model.design.sparse import Saf
from sparseloop.model.plan import Link
from sparseloop.model.sparse_traffic import LinkSparse
from sparseloop.model.traffic.stays import visits
from sparseloop.validation.timeloop.compare import COUNT_CLASSES, HOPS, SEPARATE_ACTIONS, Evaluation, Figure

WRAPPED = 2.0**62
"""Counts from here on are negative numbers printed as positive ones."""


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Cause:
    """A fault by name."""

    name: str
    sure: bool = False


@dataclass(frozen=True, kw_only=True)
class FigureContext:
    """A figure with what it is about."""

    evaluation: Evaluation
    figure: Figure

    @cached_property
    def parts(self) -> list[str]:
        """The figure's path, taken apart."""
        return self.figure.path.split("/")

    @cached_property
    def name(self) -> str:
        """Name of the figure; metadata without its rank."""
        return self.parts[4] if self.parts[2:3] == ["dataspaces"] else self.parts[-1]

    @cached_property
    def link(self) -> LinkSparse | None:
        """The tensor's link below the level, or through the network."""
        if self.parts[2:3] != ["dataspaces"]:
            return None
        cost, levels = self.evaluation.cost, self.evaluation.plan.arch.levels
        if self.parts[0] == "networks":
            passing = next((network.passing for network in cost.networks if network.name == self.parts[1]), ())
        else:
            passing = [link for link in cost.sparse.links if levels[link.dense.link.parent].name == self.parts[1]]
        return next((link for link in passing if link.dense.link.name == self.parts[3]), None)

    @cached_property
    def source(self) -> LinkSparse | None:
        """The link that fills the level."""
        if self.link is None:
            return None
        end = (self.link.dense.link.parent, self.link.dense.link.name)
        links = self.evaluation.cost.sparse.links
        return next((link for link in links if (link.dense.link.child, link.dense.link.name) == end), None)

    @cached_property
    def tensor(self) -> Tensor | None:
        """The tensor."""
        return self.evaluation.plan.einsum.tensor(self.link.dense.link.name) if self.link else None

    @cached_property
    def moved(self) -> Link | None:
        """The link over which what is counted moves: fills come from outside."""
        link = self.source if "fills" in self.name else self.link
        return link.dense.link if link is not None else None

    @property
    def cls(self) -> str:
        """actual, gated or skipped; empty for dense counts and for what has no class."""
        return next((prefix for prefix in COUNT_CLASSES if self.name.startswith(prefix)), "")

    @cached_property
    def safs(self) -> tuple[Saf, ...]:
        """The features that matter: of a tensor's figure those on it, at the level or further out; else all."""
        all_of_them = self.evaluation.plan.sparse.safs
        if self.moved is None:
            return all_of_them
        return tuple(saf for saf in all_of_them if saf.follower == self.moved.name and saf.level <= self.moved.parent)

    @cached_property
    def dense(self) -> bool | None:
        """True: the dense count behind it differs already; False: that is equal; None: nobody states it."""
        if self.figure.path == self.figure.dense or not self.cls:
            return True if self.figure.kind in ("count", "network") and self.parts[2:3] == ["dataspaces"] else None
        figure = self.evaluation.by_path.get(self.figure.dense)
        return None if figure is None else not figure.agrees

    def gives(self, reading: float) -> bool:
        """True if that reading is their number."""
        return not self.figure.differs_from(reading)


def causes(evaluation: Evaluation, figure: Figure) -> tuple[Cause, ...]:
    """The faults that may stand behind a difference: sure ones only, if there are any."""
    place = FigureContext(evaluation=evaluation, figure=figure)
    found = tuple(dict.fromkeys(cause for rule in CAUSE_RULES[figure.kind] for cause in rule(place)))
    sure = tuple(cause for cause in found if cause.sure)
    return sure or found


def of_leakage(evaluation: Evaluation, energy: Figure) -> Iterator[Cause]:
    """Leakage that is priced is in our energy of the whole design, not in theirs."""
    actions = [action for level in evaluation.cost.levels for action in level.actions]
    leaked = sum(float(action.energy_pj) for action in actions if action.action == "leak")
    if leaked:
        yield Cause(name="D26", sure=not energy.differs_from(energy.ours - leaked))


# --- readings that can be recomputed ------------------------------------------------------------------------


def _wrapped(place: FigureContext) -> Iterator[Cause]:
    if place.figure.theirs >= WRAPPED:
        yield Cause(name="Q3", sure=True)


def _network(place: FigureContext) -> Iterator[Cause]:
    """Their rule on our dense counts; where nothing is compressed or skipped, it differs in what travels down with results."""
    sparse = bool(place.safs) or any(link.dense.link.compressed for link in place.evaluation.cost.sparse.links)
    if place.gives(place.figure.ours):
        yield Cause(name="Q11" if sparse else "D14", sure=True)


def _hops(place: FigureContext) -> Iterator[Cause]:
    """Half a tile to a single child is their number; other distances follow from where the parent stands."""
    yield Cause(name="D30", sure=place.figure.ours == 0 and place.gives(0.5))


def _hops_behind(place: FigureContext) -> Iterator[Cause]:
    """The energy of a network at their own mean hops."""
    if place.parts[0] != "networks" or place.link is None:
        return
    beside = place.figure.path.rpartition("/")[0]
    theirs = next((one for one in place.evaluation.conventions if one.path == f"{beside}/{HOPS}" and not one.agrees), None)
    network = next((one for one in place.evaluation.cost.networks if one.name == place.parts[1]), None)
    if theirs is not None and network is not None:
        yield Cause(name="D30", sure=place.gives(float(network.energy_of(place.link, theirs.theirs))))


def _leakage(place: FigureContext) -> Iterator[Cause]:
    """Only instances that work leak, and no compute unit."""
    levels = [level.name for level in place.evaluation.plan.arch.levels]
    index = levels.index(place.parts[1])
    every = float(place.evaluation.plan.arch.levels[index].instances)
    used = 0.0 if index == len(levels) - 1 else float(place.evaluation.cost.dense.instances[index])
    yield Cause(name="D31", sure=place.gives(place.figure.ours * used / every))


def _priced(place: FigureContext) -> Iterator[Cause]:
    """Skipped and gated actions at the price of real ones, updates at that of fills, words in whole blocks of a run."""
    if place.link is None or place.parts[0] == "networks":
        return
    level = place.link.dense.link.parent
    name = place.link.dense.link.name
    mine = [action for action in place.evaluation.cost.levels[level].actions if action.tensor == name]
    prices = {action: price.energy_pj for action, price in place.evaluation.plan.arch.levels[level].prices.items()}
    count = {action.action: float(action.count) for action in mine if action.action not in SEPARATE_ACTIONS}

    def energy(rules: tuple[str, ...]) -> float:
        total = 0.0
        for action, number in count.items():
            base = action.removeprefix("gated_").removeprefix("skipped_") if "Q7" in rules else action
            price = prices.get("fill", 0.0) if "Q7u" in rules and base == "update" else prices.get(base, prices[action])
            total += (_whole_blocks(place, action, number) if "D24" in rules else number) * price
        return total

    used = energy(()) / place.figure.sound if place.figure.sound else 1.0
    for rules in (rules for many in (1, 2, 3) for rules in combinations(("Q7", "Q7u", "D24"), many)):
        if used and place.gives(energy(rules) / used):
            yield from (Cause(name=name, sure=True) for name in rules)
            return


def _whole_blocks(place: FigureContext, action: str, number: float) -> float:
    """Accesses of an action if the words of one instance, over the whole run, fill blocks without a break."""
    cls = next((prefix for prefix in ("gated", "skipped") if action.startswith(prefix)), "actual")
    end = place.link if action.endswith(("read", "update")) else place.source
    name = {"read": "reads", "update": "updates", "fill": "fills"}.get(action.removeprefix(f"{cls}_"))
    if place.link is None or end is None or name is None:
        return number
    level = place.link.dense.link.parent
    block = place.evaluation.plan.arch.levels[level].block_size
    instances = float(place.evaluation.cost.dense.instances[level])
    words = float(getattr(getattr(end, name), cls))
    return math.ceil(words / instances / block - 1e-9) * instances if instances else number


def _on_the_wires(place: FigureContext) -> Iterator[Cause]:
    """Dense words on a network; hops that bypassed levels and partial sums on their way down do not multiply."""
    network = next((n for n in place.evaluation.cost.networks if place.parts[:2] == ["networks", n.name]), None)
    if network is None or place.link is None or place.figure.ours == 0:
        return
    words = place.evaluation.by_path.get(place.figure.path.replace("energy_total", "ingresses"))
    dense = words.ours / words.sound if words is not None and words.sound else 1.0
    networks: dict[str, dict[str, Any]] = {n["name"]: n["dataspaces"] for n in place.evaluation.case.expected["networks"]}
    stated = networks.get(network.name, dict[str, Any]())
    hops: Any = stated.get(place.link.dense.link.name, {}).get("average_number_of_hops")
    theirs = float(network.energy_of(place.link, float(hops))) if isinstance(hops, int | float) else place.figure.ours
    for energy, names in ((place.figure.ours * dense, ("Q11",)), (theirs, ("D6",)), (theirs * dense, ("Q11", "D6"))):
        if place.gives(energy):
            yield from (Cause(name=name, sure=True) for name in names)
            return
    yield from _dense(place)


def _cycles_of_gates(place: FigureContext) -> Iterator[Cause]:
    """Gated computes take no cycle in the reference."""
    computes = place.evaluation.cost.sparse.computes
    kept = float(computes.actual + computes.gated)
    if float(computes.gated) > 0 and kept:
        yield Cause(name="Q39", sure=place.gives(place.figure.ours * float(computes.actual) / kept))


def _density_one(place: FigureContext) -> Iterator[Cause]:
    """The smallest number of non-zeros in a tile of n of N words, r of them non-zero, wraps if N - r < n < N."""
    tensor, link = place.tensor, place.link
    if tensor is None or link is None or not isinstance(tensor.density, Uniform) or not _compressed_outside(place):
        return
    size, tile = math.prod(place.evaluation.plan.einsum.tensor_shape(tensor)), float(link.resident.footprint)
    density = float(tensor.density.density)
    if size * (1.0 - density) < tile < size and place.figure.theirs < place.figure.ours:
        yield Cause(name="Q2", sure=place.figure.theirs == 0 and density == 1.0)


def _zeros_kept(place: FigureContext) -> Iterator[Cause]:
    """An uncompressed format with metadata, read as if it were compressed."""
    tensor, moved = place.tensor, place.moved
    formats = (moved.parent_format, moved.child_format) if moved else ()
    if tensor and any(form is not None and form.has_metadata and not form.compressed for form in formats):
        yield Cause(name="Q10", sure=place.gives(place.figure.ours * float(tensor.density.density)))


def _skipped_computes(place: FigureContext) -> Iterator[Cause]:
    sparse = place.evaluation.cost.sparse
    if place.name == "skipped_computes_total" and float(sparse.computes.skipped) > 0:
        yield Cause(name="Q44", sure=place.gives(float(sparse.skipped_at_compute)))


def _gated_computes(place: FigureContext) -> Iterator[Cause]:
    """Computes that storage gates leave idle are nowhere in the reference."""
    sparse = place.evaluation.plan.sparse
    if place.name == "gated_computes_total" and any(saf.kind == "gate" for saf in sparse.safs):
        yield Cause(name="Q39", sure=place.figure.theirs == 0 and not sparse.compute_gate)


def _first_fill(place: FigureContext) -> Iterator[Cause]:
    """Older builds write every new output tile into its level, though it holds nothing."""
    source, figure = place.source, place.figure
    if source is None or not source.dense.link.output or figure.theirs <= figure.ours:
        return
    if place.name in ("scalar_fills_per_instance", "algorithmic_scalar_fills_per_instance", "actual_scalar_fills_per_instance"):
        written = {float(source.updates.total), float(source.updates.actual)}
        yield Cause(name="V1", sure=any(place.gives(words / figure.per) for words in written))


def _both_zero(place: FigureContext) -> Iterator[Cause]:
    """Computes whose operands are both zero vanish."""
    if place.parts[2:3] != ["stats"]:
        return
    tensors = [tensor for tensor in place.evaluation.plan.einsum.tensors if not tensor.output]
    densities = [float(tensor.density.density) for tensor in tensors]
    if len(densities) > 1 and max(densities) < 1:
        empty = 1.0
        for density in densities:
            empty *= 1.0 - density
        computes = place.evaluation.cost.sparse.computes
        gone = place.name == "actual_computes_total" and place.gives(float(computes.total) * (1.0 - empty))
        yield Cause(name="Q50", sure=gone)


def _classes(place: FigureContext) -> Iterator[Cause]:
    if place.cls in ("gated", "skipped") and place.parts[2:3] == ["dataspaces"]:
        yield Cause(name="Q45", sure=place.figure.theirs == 0 and "fills" in place.name)


def _overwritten(place: FigureContext) -> Iterator[Cause]:
    levels = {saf.level for saf in place.safs}
    nested = place.link is not None and place.link.dense.link.parent in levels and len(levels) > 1
    if place.cls and "format_reads" in place.name and nested:
        yield Cause(name="Q5", sure=place.figure.theirs == 0 and place.cls == "actual")


def _whole_windows(place: FigureContext) -> Iterator[Cause]:
    """A sliding window fetched whole at every visit, behind steps that do not move it."""
    one, tensor, moved = place.source if "fills" in place.name else place.link, place.tensor, place.moved
    cost, bounds = place.evaluation.cost, place.evaluation.mapping.bounds
    if one is None or tensor is None or moved is None or moved.to_compute or not cost.dense.perfect:
        return
    moving = [slot in moved.relevant for slot in moved.temporal if bounds[slot] > 1]
    whole, share = float(one.dense.tile * visits(cost.dense.tiles, moved)), float(one.dense.words_per_child)
    stands_inside = (False, True) in pairwise(moving)  # innermost first
    if any(len(axis.terms) > 1 for axis in tensor.axes) and stands_inside and whole != share:
        reading = place.figure.ours * whole / share
        yield from [Cause(name="D1", sure=True)] if place.gives(reading) else []


# --- features that a fault needs ----------------------------------------------------------------------------


def _dense(place: FigureContext) -> Iterator[Cause]:
    """Faults of the loop analysis; they change dense counts, and all that follows from them."""
    evaluation = place.evaluation
    if place.dense is False:
        return
    if not evaluation.cost.dense.perfect:
        yield from (Cause(name=name) for name in ("D4", "D5", "Q26"))
    tensor, moved = place.tensor, place.moved
    if tensor is None or moved is None:
        return
    if any(len(axis.terms) > 1 for axis in tensor.axes):
        yield from (Cause(name=name) for name in ("D1", "D2", "D3"))
    if any(abs(term.coefficient) > 1 for axis in tensor.axes for term in axis.terms):
        yield Cause(name="D11")
    networks = [level.network for level in evaluation.plan.arch.levels[moved.parent : moved.child]]
    if moved.between and any(network is not None and network.forwarding for network in networks):
        yield Cause(name="D-link")
    if moved.between and moved.child > moved.parent + 1:
        yield Cause(name="D-joint")


def _compressed_outside(place: FigureContext) -> bool:
    """True if some level further out, or the level itself, stores the tensor without zeros."""
    link = place.link.dense.link if place.link else None
    links = [k.dense.link for k in place.evaluation.cost.sparse.links]
    return link is not None and any(k.name == link.name and k.parent <= link.parent and k.compressed for k in links)


def _features(place: FigureContext) -> Iterator[Cause]:
    """Faults of gating and skipping."""
    if place.dense:
        return
    safs = place.safs
    blocks = any(level.block_size > 1 for level in place.evaluation.plan.arch.storage)
    per_place = [(saf.level, saf.follower) for saf in safs]
    followers = [saf.follower for saf in safs]
    rules = (
        ("Q42", any(saf.kind == "spatial_skip" for saf in safs)),
        ("Q13", any(saf.kind == "spatial_skip" for saf in safs)),
        ("Q41", bool(safs) and any(loop.spatial for loop in place.evaluation.mapping.nest.loops)),
        ("Q21", bool(safs) and blocks),
        ("Q20", any(saf.choice is not None for saf in safs)),
        ("Q19", len(set(per_place)) < len(per_place)),
        ("Q47", len(set(followers)) < len(set(per_place))),
        ("Q17", any(saf.follower in other.leaders and other.follower in saf.leaders for saf in safs for other in safs)),
        ("Q18", bool(safs) and any(link.dense.link.compressed for link in place.evaluation.cost.sparse.links)),
        ("Q46", place.evaluation.plan.sparse.compute_skip and any(saf.kind == "gate" for saf in safs)),
    )
    yield from (Cause(name=name) for name, present in rules if present)


def _statistics(place: FigureContext) -> Iterator[Cause]:
    """Faults of the density models, and rounding."""
    if place.dense:
        return
    if any(isinstance(tensor.density, Banded) for tensor in place.evaluation.plan.einsum.tensors):
        yield from (Cause(name=name) for name in ("Q1", "Q24", "Q48"))
    if _compressed_outside(place):
        yield Cause(name="Q36" if "fills" in place.name else "Q37")
    if abs(place.figure.theirs - place.figure.ours) < 0.05 * max(place.figure.theirs, place.figure.ours):
        yield Cause(name="Q25")


def _metadata(place: FigureContext) -> Iterator[Cause]:
    if place.link is None:
        return
    ranks = place.link.ranks
    if len(ranks) > 1:
        yield from (Cause(name=name) for name in ("Q32", "Q43", "Q49", "Q9"))
    else:
        yield Cause(name="Q43")
    tensor = place.tensor
    if tensor is not None and any(len(axis.terms) > 1 for axis in tensor.axes):
        yield Cause(name="Q23")
    if any(saf.level < place.link.dense.link.parent for saf in place.safs):
        yield Cause(name="Q4")


def _inherited(place: FigureContext) -> Iterator[Cause]:
    """The counts that an energy weighs, on the same tensor and level; cycles inherit the computes."""
    folder = place.figure.path.rpartition("/")[0] if place.figure.kind == "energy" else "levels/"
    for figure in place.evaluation.figures:
        weighed = figure.kind in ("count", "metadata") and figure.path.startswith(folder) and not figure.agrees
        if weighed and (place.figure.kind == "energy" or figure.path.endswith("actual_computes_total")):
            yield from (Cause(name=cause.name) for cause in causes(place.evaluation, figure))


def _per_instance(place: FigureContext) -> Iterator[Cause]:
    if place.name == "energy_per_instance" and _compressed_outside(place):
        yield Cause(name="Q37")


Rule = Callable[[FigureContext], Iterator[Cause]]
_COUNTS: tuple[Rule, ...] = (
    _wrapped,
    _density_one,
    _zeros_kept,
    _skipped_computes,
    _gated_computes,
    _first_fill,
    _whole_windows,
    _both_zero,
    _classes,
)
_COMMON: tuple[Rule, ...] = (_dense, _features, _statistics)
CAUSE_RULES: dict[str, tuple[Rule, ...]] = {
    "count": (*_COUNTS, *_COMMON),
    "metadata": (_wrapped, _overwritten, _density_one, _classes, _metadata, *_COMMON),
    "network": (_network, _dense),
    "capacity": (_density_one, _zeros_kept, *_COMMON),
    "cycles": (_cycles_of_gates, _dense, _features, _inherited),
    "hops": (_hops,),
    "leakage": (_leakage,),
    "energy": (_hops_behind, _priced, _on_the_wires, _inherited, _per_instance),
}
"""What may stand behind each kind of figure."""
