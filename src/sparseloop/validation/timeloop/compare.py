"""Our figures of a golden case beside Timeloop's, path by path.

Timeloop prints counts per instance: conditioned on the instance having work where a parent is compressed (label Q37
on the number of instances). Ours are means over all instances, so we print totals / instances. Paths are those of the
corpus: keys joined by '/', list entries by their name; rank0 of metadata is the innermost.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict, cast

from sparseloop.input.load import load
from sparseloop.input.resolve import resolve
from sparseloop.model.cost.cost import Cost
from sparseloop.model.cost.networks import NetworkTraffic
from sparseloop.model.design.mapping import Mapping
from sparseloop.model.pipeline import cost_of_design
from sparseloop.model.plan import Plan
from sparseloop.model.sparse_traffic import LinkSparse
from sparseloop.validation.timeloop.corpus import GoldenCase

RELATIVE = 0.005
"""The labels' own threshold: a difference of up to 0.5 % carries no label."""
ROUNDING_SLACK = {
    "count": 3.0,
    "metadata": 3.0,
    "network": 3.0,
    "capacity": 3.0,
    "cycles": 2.0,
    "energy": 2.0,
    "hops": 0.01,
    "leakage": 0.0,
}
"""Units by which the reference's roundings may move a figure: it floors or ceils a count per instance at several
places (counts), the computes behind a cycle count, and the accesses behind an energy (unit: the dearest action)."""
CLOSE = 1e-3
"""Relative difference below which two counts are called equal: real numbers against the reference's integers."""

COUNT_CLASSES = ("actual", "gated", "skipped")
COUNT = re.compile(
    rf"((?P<cls>algorithmic|{'|'.join(COUNT_CLASSES)})_)?scalar_(?P<metadata>format_)?(?P<action>reads|fills|updates)_per_instance"
)
"""Names of counts of a tensor at a level."""
REFERENCE_ACTION = {
    "read": "random_read",
    "fill": "random_fill",
    "update": "random_update",
    "metadata_read": "random_metadata_read",
    "metadata_fill": "random_metadata_fill",
    "metadata_update": "random_metadata_update",
    "decompress": "decompression_count",
    "compress": "compression_count",
    "compute": "random_compute",
    "gated_compute": "gated_compute",
    "skipped_compute": "skipped_compute",
}
"""Our actions under the reference's names (gated and skipped ones have equal names)."""
SEPARATE_ACTIONS = frozenset({"address_generation", "reduction", "intersect", "leak"})
"""Not part of the reference's energy of a tensor at a level: it lists the first two apart and has not the others."""


HOPS, LEAKAGE = "average_number_of_hops", "leakage_energy_total"
"""Figures that Timeloop states of a tensor on a network, and of a level."""


class Extra(TypedDict, total=False):
    """What only some figures have."""

    unit: float
    dense: str
    per: float
    sound: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One compared number."""

    path: str
    kind: str
    ours: float
    theirs: float
    unit: float = 1.0
    """What one event weighs in this figure (1, or the price of the dearest action)."""
    dense: str = ""
    """Path of the dense count or tile from which the figure is derived."""
    per: float = 1.0
    """By how many instances the total was divided."""
    sound: float | None = None
    """Our own figure, where `ours` follows a rule of the reference so that the rest of it can be compared."""

    @property
    def agrees(self) -> bool:
        """True within the labels' own threshold."""
        return not self.differs_from(self.ours)

    def differs_from(self, ours: float) -> bool:
        """True if their figure is not `ours` within that threshold."""
        relative = RELATIVE * max(abs(ours), abs(self.theirs))
        return abs(ours - self.theirs) > max(ROUNDING_SLACK[self.kind] * self.unit, relative) + 1e-6

    @property
    def close(self) -> bool:
        """True within 1e-3."""
        return abs(self.ours - self.theirs) <= CLOSE * max(1.0, abs(self.theirs))


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A golden case and what our model says about it."""

    case: GoldenCase
    plan: Plan
    cost: Cost
    mapping: Mapping

    @cached_property
    def figures(self) -> list[Figure]:
        """Everything that both sides state."""
        found = [*self._compute(), *self._overall(), *self._networks()]
        for level in self.case.expected["levels"][1:]:
            found += self._storage(level)
        return found

    @cached_property
    def by_path(self) -> dict[str, Figure]:
        """The same by their paths."""
        return {figure.path: figure for figure in self.figures}

    def _figure(self, path: str, kind: str, ours: Any, theirs: Any, more: Extra | None = None) -> Iterator[Figure]:
        if isinstance(theirs, int | float):  # 'nan' and 'inf' are strings
            yield Figure(path=path, kind=kind, ours=float(ours), theirs=float(theirs), **more or {})

    def _dense(self, folder: str, action: str) -> str:
        return f"{folder}{'algorithmic_' if self.case.sparse else ''}scalar_{action}_per_instance"

    # --- whole design and compute level -----------------------------------------------------------------------

    def _overall(self) -> Iterator[Figure]:
        yield from self._figure("overall/cycles", "cycles", self.cost.cycles, self.case.expected["overall"]["cycles"])

    def _compute(self) -> Iterator[Figure]:
        stats, level = self.case.expected["levels"][0], self.cost.levels[-1]
        at, stats = f"levels/{stats['name']}/stats/", stats["stats"]
        computes = self.cost.sparse.computes
        ours = {"computes_total": computes.total, "algorithmic_computes_total": computes.total}
        ours |= {f"{c}_computes_total": getattr(computes, c) for c in ("actual", "gated", "skipped")}
        for name, count in ours.items():
            yield from self._figure(at + name, "count", count, stats.get(name))
        prices = self.case.expected["levels"][0]["extra"].get("op_energy") or self._prices(-1)
        energy = computes.actual * prices.get("random_compute", 0.0)
        energy += computes.gated * prices.get("gated_compute", 0.0) + computes.skipped * prices.get("skipped_compute", 0.0)
        dearest = max(prices.values(), default=0.0)
        sound = float(sum(action.energy_pj for action in level.actions if action.action in REFERENCE_ACTION))
        given = stats.get("energy_total")
        yield from self._figure(at + "energy_total", "energy", energy, given, Extra(unit=dearest, sound=sound))
        yield from self._figure(at + "cycles", "cycles", level.cycles, stats.get("cycles"))

    def _prices(self, level: int) -> dict[str, float]:
        """Our own prices under the reference's names, where it does not state its own."""
        actions = self.cost.levels[level].actions
        return {REFERENCE_ACTION.get(action.action, action.action): float(action.energy_pj_each) for action in actions}

    # --- storage levels ---------------------------------------------------------------------------------------

    def _storage(self, expected: dict[str, Any]) -> Iterator[Figure]:
        level = next(i for i, spec in enumerate(self.plan.arch.levels) if spec.name == expected["name"])
        # the reference's cycles of a level include the compute's: stalled or not, a level is as long at work as the MACs
        cycles = max(float(self.cost.levels[level].cycles), float(self.cost.levels[-1].cycles))
        yield from self._figure(f"levels/{expected['name']}/stats/cycles", "cycles", cycles, expected["stats"].get("cycles"))
        tensors: dict[str, Any] = expected.get("dataspaces") or {}
        for name, figures in tensors.items():
            link = self._link(level, name)
            if link is not None:
                yield from self._tensor(expected, level, link, figures)

    def _link(self, parent: int, name: str) -> LinkSparse | None:
        links = self.cost.sparse.links
        return next((k for k in links if k.dense.link.parent == parent and k.dense.link.name == name), None)

    def _source(self, link: LinkSparse) -> LinkSparse | None:
        """The link that fills the level from which `link` starts."""
        end = (link.dense.link.parent, link.dense.link.name)
        return next((k for k in self.cost.sparse.links if (k.dense.link.child, k.dense.link.name) == end), None)

    def _tensor(self, expected: dict[str, Any], level: int, link: LinkSparse, figures: dict[str, Any]) -> Iterator[Figure]:
        at = f"levels/{expected['name']}/dataspaces/{link.dense.link.name}/"
        used = figures.get("utilized_instances_max", figures.get("utilized_instances", 1))
        mean = figures.get("utilized_instances_average", used)
        if "Q37" in self.case.labels.get(at + "utilized_instances_average", ()):
            mean = used  # conditioned instances: the others idle in the reference, in ours all instances work the less
        for name, theirs in figures.items():
            known = COUNT.fullmatch(name)
            if known is None:
                continue
            cls, action = known["cls"] or "", known["action"]
            if known["metadata"]:
                yield from self._metadata(at, link, (name, cls, action), (theirs, mean))
            else:
                instances = mean if cls in COUNT_CLASSES else self.cost.dense.instances[level]
                count = self._words(link, cls, action) / float(instances) if instances else 0.0
                yield from self._figure(
                    at + name, "count", count, theirs, Extra(dense=self._dense(at, action), per=float(instances))
                )
        for name, words in _held(link).items():
            yield from self._figure(at + name, "capacity", words, figures.get(name), Extra(dense=at + "data_tile_shape"))
        yield from self._energy(at, expected, level, (link, figures, (used, mean)))

    def _words(self, link: LinkSparse, name: str, action: str) -> float:
        source = self._source(link)
        if action == "fills" and source is None:
            return 0.0
        classes = source.fills if action == "fills" and source is not None else getattr(link, action)
        return float(getattr(classes, name if name in COUNT_CLASSES else "total"))

    def _metadata(self, at: str, link: LinkSparse, what: tuple[str, str, str], theirs: tuple[Any, float]) -> Iterator[Figure]:
        """Entries (0) and payloads (1) per rank; those without width are not stored anywhere, and not compared."""
        name, cls, action = what
        mean = theirs[1]
        counts = cast(dict[str, list[float]], theirs[0] if isinstance(theirs[0], dict) else {})
        for place, rank in enumerate(link.ranks):
            key = f"rank{len(link.ranks) - 1 - place}"
            units = counts.get(key, [0, 0])
            for part, classes, bits in ((0, rank.entries, rank.entry_bits), (1, rank.payloads, rank.payload_bits)):
                if bits and mean:
                    ours = float(getattr(classes[action], cls)) / mean
                    path = f"{at}{name}/{key}/{part}"
                    yield from self._figure(path, "metadata", ours, units[part], Extra(dense=self._dense(at, action), per=mean))

    def _energy(self, at: str, expected: dict[str, Any], level: int, of: tuple[LinkSparse, Any, Any]) -> Iterator[Figure]:
        """Our action counts at the reference's own prices: the model uses HEAD's fall-back chain, the corpus v3.0.3's
        (Q7), whose labels miss tensors where the two happen to be near; prices have tests of their own."""
        link, figures, (used, mean) = of
        prices = expected["extra"].get("op_energy") or self._prices(level)
        energy, sound, dearest = 0.0, 0.0, 0.0
        for action in self.cost.levels[level].actions:
            if action.tensor == link.dense.link.name and action.action not in SEPARATE_ACTIONS:
                price = prices.get(REFERENCE_ACTION.get(action.action, action.action), 0.0)
                energy += float(action.count) * price
                sound += float(action.count) * float(action.energy_pj_each)
                dearest = max(dearest, price)
        theirs, unit = figures.get("energy_total"), dearest * used
        yield from self._figure(at + "energy_total", "energy", energy, theirs, Extra(unit=unit, sound=sound))
        n, theirs = mean or used, figures.get("energy_per_instance")
        yield from self._figure(at + "energy_per_instance", "energy", energy / n, theirs, Extra(unit=dearest, sound=sound / n))

    @cached_property
    def network_energies(self) -> list[Figure]:
        """Energy of a tensor's words on each network, wires and routers; no label of the corpus speaks of it."""
        found, networks = list[Figure](), {network.name: network for network in self.cost.networks}
        for expected in self.case.expected["networks"]:
            network = networks.get(expected["name"])
            for link in network.passing if network is not None else ():
                figures = expected["dataspaces"].get(link.dense.link.name, {})
                path = f"networks/{expected['name']}/dataspaces/{link.dense.link.name}/energy_total"
                assert network is not None
                ours = network.energy_of(link, network.hops[link.dense.link.name])
                found += self._figure(path, "energy", ours, figures.get("energy_total"))
        return found

    @cached_property
    def conventions(self) -> list[Figure]:
        """What other conventions than ours decide: mean hops on each network, leakage of each level; no label speaks of them."""
        found, networks = list[Figure](), {network.name: network for network in self.cost.networks}
        for expected in self.case.expected["networks"]:
            network = networks.get(expected["name"])
            for name, hops in network.hops.items() if network is not None else ():
                path = f"networks/{expected['name']}/dataspaces/{name}/{HOPS}"
                found += self._figure(path, "hops", hops, expected["dataspaces"].get(name, {}).get(HOPS))
        names = {spec.name: i for i, spec in enumerate(self.plan.arch.levels)}
        for level in self.case.expected["levels"]:
            if (i := names.get(level["name"])) is not None:
                leaked = sum(float(one.energy_pj) for one in self.cost.levels[i].actions if one.action == "leak")
                found += self._figure(f"levels/{level['name']}/stats/{LEAKAGE}", "leakage", leaked, level["stats"].get(LEAKAGE))
        return found

    # --- networks ---------------------------------------------------------------------------------------------

    def _networks(self) -> Iterator[Figure]:
        """Words that enter a network, per instance of its upper level.

        The reference sends the dense words (Q11, labelled only where no other label applies), and partial sums down
        by the ability to add of the network's upper level, though a bypassed one adds nothing (D14, no label):
        here both rules are applied to our dense counts.
        """
        networks = {network.name: network for network in self.cost.networks}
        for expected in self.case.expected["networks"]:
            network = networks.get(expected["name"])
            for name, figures in expected["dataspaces"].items():
                link = next((k for k in network.passing if k.dense.link.name == name), None) if network else None
                if network is not None and link is not None and "ingresses" in figures:
                    instances = float(self.cost.dense.instances[network.level])
                    words = _dense_words(network, link) / instances
                    sound = float(network.words_down[name] + network.words_up[name]) / instances
                    path = f"networks/{expected['name']}/dataspaces/{name}/ingresses"
                    parent = self.plan.arch.levels[link.dense.link.parent].name
                    dense = self._dense(f"levels/{parent}/dataspaces/{name}/", "updates" if link.dense.link.output else "reads")
                    yield from self._figure(path, "network", words, figures["ingresses"], Extra(dense=dense, sound=sound))


def _held(link: LinkSparse) -> dict[str, Any]:
    tile = link.resident
    return {
        "data_tile_shape": tile.footprint,
        "utilized_capacity": tile.footprint,
        "max_utilized_data_storage_capacity": tile.worst,
    }


def _dense_words(network: NetworkTraffic, link: LinkSparse) -> float:
    """Dense words down and up. Outputs come up; a level that cannot add sends the partial sums down first, all but the
    first ones, or just all of them where it is bypassed and does not know which are the first."""
    end = link.dense.link
    words = float(link.updates.total if end.output else link.reads.total)
    if end.output and not network.plan.arch.levels[network.level].reduction:
        words += float(link.reads.total) if network.level == end.parent else words
    spread = [i for i in end.multicast if network.plan.loops[i].level < network.level]
    return words * float(network.tiles.product(spread))


def evaluate_case(case: GoldenCase) -> Evaluation:
    """Runs our model on the case's files."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in case.inputs]
        for path, text in zip(paths, case.inputs.values(), strict=True):
            path.write_text(text, encoding="utf-8")
        design = resolve(load(*paths))
    assert design.mapping is not None
    plan, cost = cost_of_design(design)
    return Evaluation(case=case, plan=plan, cost=cost, mapping=design.mapping)
