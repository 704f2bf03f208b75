"""Compiled plans of small einsums (as in `walks`), with unit prices and uniform densities."""

from __future__ import annotations

import math
from dataclasses import replace

from sparseloop.energy.pricing import ACTIONS
from sparseloop.model.density import Uniform
from sparseloop.model.design.arch import Arch, Level, Network, Price
from sparseloop.model.design.einsum import Einsum
from sparseloop.model.design.mapping import Mapping
from sparseloop.model.design.sparse import Sparse
from sparseloop.model.plan import Plan, compile_plan
from tests.helpers.walks import DENSE, mapped

PRICES = {action: Price(energy_pj=1.0, source="test") for action in ACTIONS}


def dense_or(problem: Einsum, densities) -> Einsum:
    """The einsum with density models: those given by tensor, numbers for uniform ones; others have no zeros."""
    tensors = []
    for tensor in problem.tensors:
        model = densities.get(tensor.name, 1.0)
        shape = problem.tensor_shape(tensor)
        tensors.append(replace(tensor, density=Uniform(shape, model) if isinstance(model, float) else model))
    return replace(problem, tensors=tuple(tensors))


def arch_of(mapping: Mapping, levels=()) -> Arch:
    """One instance per position of the spatial loops along x; `levels`: fields of the levels, outermost first."""
    found = []
    count = len(mapping.nest.keep)
    for i in range(count + 1):
        lanes = math.prod(
            n for n, loop in zip(mapping.bounds, mapping.nest.loops, strict=True) if loop.spatial and loop.level < i
        )
        fields = dict(levels[i]) if i < len(levels) else {}
        kind = "storage" if i < count else "compute"
        network = Network(name=f"net{i}", word_bits=16) if i < count else None
        standard = {"name": f"L{i}", "kind": kind, "prices": PRICES, "network": network, "metadata_word_bits": 8}
        found.append(Level(**{**standard, "instances": lanes, "mesh_x": lanes, **fields}))
    return Arch(levels=tuple(found))


def planned(problem: Einsum, loops: str, keep: str, *, sparse: Sparse = DENSE, levels=(), **densities) -> tuple[Plan, Mapping]:
    """A plan and its mapping; notation of loops and keep as in `walks.mapped`."""
    mapping = mapped(loops, keep)
    arch = arch_of(mapping, levels)
    return compile_plan(dense_or(problem, densities), arch, mapping.nest, sparse), mapping


def link(plan: Plan, level: int, tensor: str):
    """The link whose parent is the level."""
    return plan.link_of[level, plan.einsum.index[tensor]]
