"""The walker's answer to a golden case: the mean over draws of its tensors, under the corpus's paths."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sparseloop.model.density import Banded, DensityModel, Uniform
from sparseloop.model.design.arch import Arch
from sparseloop.model.design.einsum import Einsum, Tensor
from sparseloop.model.pipeline import evaluate_plan
from sparseloop.model.plan import compile_plan
from sparseloop.validation.timeloop.compare import Evaluation
from sparseloop.validation.walker import Walk, Walker

COUNT = re.compile(r"levels/(?P<level>[^/]+)/dataspaces/(?P<tensor>[^/]+)/(?P<cls>[a-z]*?)_?scalar_(?P<action>\w+?)_per_instance")
ENTRIES = re.compile(COUNT.pattern.replace("_?scalar_", "_scalar_format_") + r"/rank(?P<rank>\d+)/(?P<part>[01])")
COMPUTES = re.compile(r"levels/[^/]+/stats/(?P<cls>[a-z]*?)_?computes_total")
CYCLES = re.compile(r"(levels/[^/]+/stats|overall)/cycles")


@dataclass(frozen=True, kw_only=True)
class Walked:
    """A golden case under densities that can be drawn, by the model and by the walker."""

    evaluation: Evaluation
    walks: list[Walk]

    @cached_property
    def instances(self) -> dict[str, float]:
        """Level name to the number of instances used in the dense design."""
        plan, dense = self.evaluation.plan, self.evaluation.cost.dense
        return {level.name: float(n) for level, n in zip(plan.arch.levels, dense.instances, strict=True)}

    def count(self, path: str) -> tuple[float, float]:
        """Mean and standard error of the total behind a path."""
        values = np.array([self._count(walk, path) for walk in self.walks])
        return float(values.mean()), float(values.std()) / math.sqrt(len(values))

    def coin_error(self, path: str, expected: float) -> float:
        """Standard error if all events of a kind happen together with the expected frequency (for rare events)."""
        whole = max(expected, *(self._count(walk, re.sub("actual|gated|skipped", "total", path)) for walk in self.walks))
        chance = expected / whole if whole else 0.0
        return whole * math.sqrt(max(0.0, chance * (1.0 - chance)) / len(self.walks))

    def _count(self, walk: Walk, path: str) -> float:
        if found := COMPUTES.fullmatch(path):
            return getattr(walk.computes, _class(found["cls"]))
        if CYCLES.fullmatch(path):
            return sum(walk.lane_work) / len(walk.lane_work) if self.evaluation.cost.dense.perfect else walk.cycles
        found = ENTRIES.fullmatch(path) or COUNT.fullmatch(path)
        assert found, path
        names = [level.name for level in self.evaluation.plan.arch.levels]
        tensor = walk.tensors[names.index(found["level"]), found["tensor"]]
        cls = _class(found["cls"])
        if "rank" not in found.re.groupindex:
            return getattr(getattr(tensor, found["action"]), cls)
        ranks = getattr(tensor, f"metadata_{found['action']}")
        units = ranks[len(ranks) - 1 - int(found["rank"])]
        return getattr(units.payload if found["part"] == "1" else units.metadata, cls)


def _class(name: str) -> str:
    return name if name in ("actual", "gated", "skipped") else "total"


def walk_case(evaluation: Evaluation, draws: int, seed: int = 0) -> Walked:
    """Draws the tensors `draws` times and walks; tensors without a random model of their own are placed uniformly."""
    plan = evaluation.plan
    mapping = evaluation.mapping
    assert all(saf.choice is None for saf in plan.sparse.safs), "alternatives are not walked"
    walker = Walker(plan.einsum, [level.block_size for level in plan.arch.storage], mapping, plan.sparse)
    touched = {t.name: np.unique(walker.plan.paths[t.name].word) for t in plan.einsum.tensors}
    tensors = tuple(replace(t, density=_drawable(plan.einsum, t, len(touched[t.name]))) for t in plan.einsum.tensors)
    einsum = replace(plan.einsum, tensors=tensors)
    same = compile_plan(einsum, _without_forwarding(plan.arch), plan.nest, plan.sparse)
    cost = evaluate_plan(same, mapping.bounds, mapping.residuals)
    rng = np.random.default_rng(seed)
    walks = [walker.walk({t.name: _draw(einsum, t, touched[t.name], rng) for t in tensors}) for _ in range(draws)]
    return Walked(evaluation=Evaluation(case=evaluation.case, plan=same, cost=cost, mapping=mapping), walks=walks)


def _without_forwarding(arch: Arch) -> Arch:
    """The walker sends every word from the parent; passing words on among neighbours is an option of networks (D-link)."""
    networks = [level.network and replace(level.network, forwarding=False) for level in arch.levels]
    return replace(arch, levels=tuple(replace(lv, network=n) for lv, n in zip(arch.levels, networks, strict=True)))


def _drawable(einsum: Einsum, tensor: Tensor, words: int) -> DensityModel:
    if isinstance(tensor.density, Uniform | Banded):
        return tensor.density
    return Uniform(einsum.tensor_shape(tensor), float(tensor.density.density), size=words)


def _draw(einsum: Einsum, tensor: Tensor, touched: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if isinstance(tensor.density, Banded):
        return np.asarray(tensor.density.mask())
    assert isinstance(tensor.density, Uniform)
    shape = einsum.tensor_shape(tensor)
    flat = np.zeros(math.prod(shape), dtype=np.bool_)
    flat[rng.choice(touched, min(tensor.density.nonzeros, len(touched)), replace=False)] = True
    return flat.reshape(shape)
