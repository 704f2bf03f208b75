"""Every density model, rank format, feature and priced action has its bound beside its rule, and the bound holds.

A kind that is added without its bound fails here; the bounds together are tried in `tests/property/test_optimal.py`.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Iterator
from typing import get_args

import numpy as np
import pytest

import sparseloop as sl
from sparseloop.energy.pricing import ACTIONS
from sparseloop.evaluation.evaluate import evaluate_mapping
from sparseloop.model.cost.actions import ACTION_RULES, Least, LeastEvent, least_prices
from sparseloop.model.density import (
    Actual,
    Banded,
    Block,
    CellGrid,
    Clustered,
    Contributor,
    DensityModel,
    DeterministicModel,
    Even,
    GivenResult,
    Hierarchical,
    IndexStep,
    Layered,
    OwnAxis,
    PositionAxis,
    Produced,
    ProducingOperand,
    Rows,
    Structured,
    Uniform,
)
from sparseloop.model.design.arch import Price
from sparseloop.model.design.sparse import INTERSECTION_RULES, SAF_RULES, FormatKind, Intersection, SafKind
from sparseloop.model.formats.ranks import least_bits, least_units
from sparseloop.model.plan import LinkEnds
from sparseloop.model.sparse_traffic import LinkSparse
from sparseloop.model.sparsity.features import link_leaders
from tests.helpers.samples import CONVOLUTION, MATMUL

# --- density models -----------------------------------------------------------------------------------------

MODELS: tuple[DensityModel, ...] = (
    Uniform((8, 12), 0.2),
    Even((8, 12), 0.2),
    Structured((8, 12), 1, 4, 1),
    Hierarchical((8, 12), ((1, 3), (2, 4)), 1),
    Block((8, 12), (2, 3), 0.3),
    Block((8, 12), (2, 3), 0.3, inner=0.5),
    Rows((8, 12), (0,), ((0, 0.4), (3, 0.6))),
    Clustered((8, 12), (4, 3), 0.2, 0.4),
    Layered((8, 12), (CellGrid((4, 2), ((3, 1.0),)), CellGrid((2, 3), ((2, 0.5), (6, 0.5))), CellGrid((1, 2), ((1, 1.0),)))),
    Banded((8, 12), 2),
    Actual(np.arange(96).reshape(8, 12) % 7 == 1),
    Produced(
        (8, 12),
        (
            ProducingOperand(Uniform((8, 16), 0.2), (OwnAxis(0, 0),), positions=(PositionAxis("k", 1, 1, 16, None),)),
            ProducingOperand(Uniform((16, 12), 0.2), (OwnAxis(1, 1),), positions=(PositionAxis("k", 0, 1, 16, None),)),
        ),
        (),
        16,
        (1, 1),
    ),
    GivenResult(
        (8, 12),
        ((IndexStep("m", 1),), (IndexStep("n", 1),)),
        (Contributor(Actual(np.eye(8, 16)), ((IndexStep("m", 1),), (IndexStep("k", 1),))),),
        (("m", 8), ("n", 12), ("k", 16)),
    ),
)


def concrete(kind: type[DensityModel]) -> Iterator[type[DensityModel]]:
    for child in kind.__subclasses__():
        if not inspect.isabstract(child) and child.__module__.startswith("sparseloop.model"):
            yield child
        yield from concrete(child)


def test_every_density_model_is_tried() -> None:
    assert set(concrete(DensityModel)) == {type(model) for model in MODELS}
    assert "least_nonempty" in DensityModel.__abstractmethods__


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_no_larger_tile_is_empty_more_often_than_the_bound_says(model: DensityModel) -> None:
    tiles = list(itertools.product((1, 2, 4, 8), (1, 2, 3, 6, 12)))
    for small, large in itertools.product(tiles, tiles):
        if all(b % a == 0 for a, b in zip(small, large, strict=True)):
            least = float(model.least_nonempty(small[0] * small[1], small))
            assert least <= 1.0 - float(model.empty(large[0] * large[1], large)) + 1e-12, (small, large)
    assert 0.0 <= model.least_nonzero <= model.density + 1e-12
    assert not (model.deterministic and model.least_nonzero)


@pytest.mark.parametrize(
    "model", [m for m in MODELS if isinstance(m, DeterministicModel)], ids=lambda model: type(model).__name__
)
def test_no_larger_tile_of_a_known_pattern_is_empty_more_often(model: DeterministicModel) -> None:
    tiles = list(itertools.product((1, 2, 4, 8), (1, 2, 3, 6, 12)))
    for small, large in itertools.product(tiles, tiles):
        if all(b % a == 0 for a, b in zip(small, large, strict=True)):
            assert float(model.nonempty(math.prod(small), small)) <= float(model.nonempty(math.prod(large), large))


# --- formats and features -----------------------------------------------------------------------------------


@pytest.mark.parametrize("reading", ["native", "timeloop"])
@pytest.mark.parametrize("kind", [*get_args(FormatKind), *(f"UOP {kind}" for kind in get_args(FormatKind)), "B CP"])
def test_every_list_of_rank_formats_has_at_least_the_entries_of_its_bound(kind: str, reading: str) -> None:
    assert all(least_units(kind).per_word >= 0 for kind in get_args(FormatKind))
    text = MATMUL.partition("sparse:")[0]
    text += f"reading: {reading}\nsparse: {{DRAM: {{formats: {{A: {kind}}}}}, GLB: {{formats: {{A: {kind}}}}}}}\n"
    result = sl.evaluate(sl.loads(text))
    held = [k for k in result.cost.sparse.links if k.dense.link.name == "A" and k.dense.link.parent < 2]
    for k in held:
        level = result.plan.arch.levels[k.dense.link.parent]
        bits, _ = least_bits(k.dense.link.parent_format, level.metadata_word_bits, bare=reading == "native")
        nonzero = float(k.reads.total) * result.plan.einsum.tensor("A").density.density
        assert float(sum(rank.bits("reads").actual for rank in k.ranks)) >= bits * nonzero * (1 - 1e-12)


def test_every_feature_and_every_intersection_has_its_rule() -> None:
    assert set(SAF_RULES) == set(get_args(SafKind))
    assert set(INTERSECTION_RULES) == set(get_args(Intersection))


# --- actions ------------------------------------------------------------------------------------------------


def base(action: str) -> str:
    return action.removeprefix("gated_").removeprefix("skipped_")


def test_every_priced_action_has_a_rule() -> None:
    assert set(ACTION_RULES) == {base(action) for action in ACTIONS}


DENSE_WITH_EVERYTHING = MATMUL.replace("density: {A: 0.25, B: 0.5}", "density: {A: 1, B: 1}")
NARROW = """\
workload: {einsum: "Z[m] = A[m,k] * B[k]", shape: {m: 8, k: 8}, word_bits: {A: 4, B: 16, Z: 32}}
architecture:
  levels:
    - {name: DRAM, class: dram, word_bits: 16, block_size: 4, metadata: {word_bits: 8, access_bits: 16}}
    - {name: RF, class: regfile, word_bits: 16, capacity: 64 words, block_size: 2, metadata: {word_bits: 8, access_bits: 8}}
    - {name: MAC, class: mac}
mapping:
  - DRAM: for k=4 m=4
  - RF: for m=2 k=2
sparse:
  DRAM: {formats: {A: B, Z: B}}
  RF: {skip: [A <- B]}
"""


@pytest.mark.parametrize("text", [DENSE_WITH_EVERYTHING, NARROW, CONVOLUTION.partition("sparse:")[0]])
def test_without_zeros_every_action_happens_at_least_as_often_as_its_bound_says(text: str) -> None:
    design = sl.design_of(sl.loads(text, overrides=["workload.density={}"]))
    assert design.mapping is not None
    cost = evaluate_mapping(design, design.mapping).cost
    least: dict[tuple[int, str, str], float] = {}
    for k in cost.sparse.links:
        link = k.dense.link
        ends = LinkEnds(
            einsum=design.einsum, arch=design.arch, sparse=design.sparse, tensor=link.tensor, parent=link.parent, child=link.child
        )
        for action, rule in ACTION_RULES.items():
            for one in rule.least(ends):
                key = (one.level, link.name, action)
                least[key] = least.get(key, 0.0) + counted(one, k)
    found = {(a.level, a.tensor, a.action): float(a.count) for level in cost.levels for a in level.actions}
    assert sum(1 for value in least.values() if value) > 10
    for key, value in least.items():
        assert found.get(key, 0.0) >= value * (1 - 1e-12), key


def counted(one: Least, k: LinkSparse) -> float:
    visible = k.dense.updates if k.dense.link.output else k.dense.reads
    events: dict[LeastEvent, float] = {
        "reads": k.dense.reads,
        "updates": k.dense.updates,
        "fills": k.dense.fills,
        "entries": visible,
        "comparisons": visible,
    }
    assert set(events) == set(get_args(LeastEvent))
    return one.count * float(events[one.event])


def test_bounds_by_hand() -> None:
    """4 words of A fit in a word of 16 bits, 4 of these in a block of DRAM: 16 a read. Masks of 1 bit, 16 bits an access."""
    design = sl.design_of(sl.loads(NARROW))
    ends = LinkEnds(einsum=design.einsum, arch=design.arch, sparse=design.sparse, tensor=0, parent=0, child=1)
    found = {action: list(rule.least(ends)) for action, rule in ACTION_RULES.items()}
    assert found["read"] == [Least(0, "reads", 1 / 16)]
    assert found["fill"] == [Least(1, "fills", 1 / 8)]
    assert found["update"] == found["reduction"] == found["compress"] == found["intersect"] == found["decode"] == []
    assert found["metadata_read"] == [Least(0, "entries", 1 / 16)]
    assert found["metadata_fill"] == [Least(1, "fills", 0.0)]
    assert found["address_generation"] == [Least(0, "reads", 1.0), Least(1, "fills", 1.0)]
    assert found["decompress"] == [Least(1, "fills", 1.0)]
    assert link_leaders(ends).all == frozenset()
    to_compute = LinkEnds(einsum=design.einsum, arch=design.arch, sparse=design.sparse, tensor=0, parent=1, child=2)
    assert link_leaders(to_compute).all == link_leaders(to_compute).timed == {1}
    assert [list(ACTION_RULES[a].least(to_compute)) for a in ("intersect", "fill")] == [[Least(1, "comparisons", 1.0)], []]


def test_least_prices() -> None:
    prices = {a: Price(energy_pj=8.0, source="given") for a in ("read", "gated_read", "metadata_read", "intersect", "leak")}
    assert {a: p.energy_pj for a, p in least_prices(prices, {"intersect"}, idle_free=True, block=4).items()} == {
        "read": 2.0,
        "gated_read": 0.0,
        "metadata_read": 8.0,
        "intersect": 0.0,
        "leak": 8.0,
    }
    assert least_prices(prices, frozenset(), idle_free=False) == prices
