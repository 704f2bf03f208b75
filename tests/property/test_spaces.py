"""Random small mapspaces: counted right, closed under sampling and neighbours, and no class hides a cost."""

from __future__ import annotations

import math
from itertools import permutations, product

from hypothesis import given, settings
from hypothesis import strategies as st

import sparseloop as sl
from sparseloop.mapper.space.members import mapping_key

LEVELS = ("DRAM", "GLB", "RF")
EINSUMS = ("Z[m,n] = A[m,k] * B[k,n]", "Z[m,n] = A[m,k] * B[k]", "Z[m] = A[m,n,k] * B[n,k]")


@st.composite
def specs(draw: st.DrawFn) -> sl.Spec:
    """Three levels, a fanout, random separable constraints."""
    shape = {rank: draw(st.sampled_from([1, 2, 3, 4, 6])) for rank in "mnk"}
    x, y = draw(st.sampled_from([(2, 1), (2, 2), (1, 3), (1, 1)]))
    constraints = {name: draw(rules(shape, order=name != "par")) for name in (*LEVELS, "par")}
    constraints |= {name: constraints[name] | draw(keeps()) for name in LEVELS[1:]}
    dram = {"name": "DRAM", "class": "dram", "type": "LPDDR4", "bandwidth": 4}
    glb = {"name": "GLB", "class": "sram", "capacity": f"{draw(st.sampled_from([12, 40]))} words", "bandwidth": 4}
    levels = [dram, glb, {"fanout": {"x": x, "y": y}}, {"name": "RF", "class": "regfile", "capacity": "8 words"}]
    return sl.Spec.model_validate({
        "workload": {"einsum": draw(st.sampled_from(EINSUMS)), "shape": shape, "density": {"A": 0.5}},
        "architecture": {"node": "45nm", "levels": [*levels, {"name": "MAC", "class": "mac"}]},
        "sparse": {"GLB": {"gate": ["B <- A"]}, "MAC": {"gate": True}} if draw(st.booleans()) else {},
        "constraints": constraints,
    })  # fmt: skip


@st.composite
def rules(draw: st.DrawFn, shape: dict[str, int], *, order: bool) -> dict[str, object]:
    rank = draw(st.sampled_from("mnk"))
    kind = draw(st.sampled_from(["none", "factors", "max", "min", "default_max"]))
    rule: dict[str, object] = {}
    if kind in ("factors", "max", "min"):
        rule[kind] = {rank: draw(st.sampled_from([1, 2]))}
    elif kind == "default_max":
        rule[kind] = draw(st.sampled_from([1, 2, 3]))
    if order and draw(st.booleans()):
        rule["order"] = draw(st.sampled_from(["m ...", "... k", "n ... m", "k m n"]))
    return rule


@st.composite
def keeps(draw: st.DrawFn) -> dict[str, list[str]]:
    places = {tensor: draw(st.sampled_from(["keep", "bypass", "bypass", "free"])) for tensor in "ABZ"}
    return {key: [t for t, place in places.items() if place == key] for key in ("keep", "bypass")}


def counted(spec: sl.Spec) -> int:
    """The size from first principles: ordered factorizations over the places, orders, free bypasses."""
    fan = spec.architecture.levels[2].fanout  # type: ignore[union-attr]
    x, y = fan.get("x", 1), fan.get("y", 1)
    total = 1
    for rank, size in spec.workload.shape.items():
        ways = 0
        divisors = [d for d in range(1, size + 1) if size % d == 0]
        for a, b, sx, sy, c in product(divisors, repeat=5):
            places = {"DRAM": a, "GLB": b, "par": sx * sy, "RF": c}
            ok = a * b * sx * sy * c == size and sx <= x and sy <= y
            ways += ok and (
                size == 1 or all(_allowed(spec, name, rank, f) for name, f in places.items() if name != "par" or x * y > 1)
            )
        total *= ways
    for name in LEVELS:
        total *= _orders(spec, name)
    for name in LEVELS[1:]:
        rule = spec.constraints[name]
        total *= 2 ** sum(t not in (rule.keep or ()) and t not in (rule.bypass or ()) for t in "ABZ")
    return total


def _allowed(spec: sl.Spec, name: str, rank: str, factor: int) -> bool:
    rule = spec.constraints[name]
    high = rule.max.get(rank, rule.default_max or 10**9)
    return rule.factors.get(rank, factor) == factor and rule.min.get(rank, 1) <= factor <= high


def _orders(spec: sl.Spec, name: str) -> int:
    rule = spec.constraints[name]
    ranks = [
        r for r, size in spec.workload.shape.items() if size > 1 and any(_allowed(spec, name, r, f) for f in range(2, size + 1))
    ]
    words = (rule.order or "...").split()
    at = words.index("...") if "..." in words else 0
    named = [w for w in words if w != "..."]
    outer, inner = [w for w in named[:at] if w in ranks], [w for w in named[at:] if w in ranks]
    fits = (p for p in permutations(ranks) if list(p[: len(outer)]) == outer and list(p[len(p) - len(inner) :]) == inner)
    return sum(1 for _ in fits)


@given(specs())
@settings(max_examples=60, deadline=None)
def test_sizes(spec: sl.Spec) -> None:
    assert sl.mapspace(spec).size == counted(spec)


@given(specs(), st.integers(0, 1000), st.booleans())
@settings(max_examples=40, deadline=None)
def test_samples_and_neighbours_are_members(spec: sl.Spec, seed: int, padded: bool) -> None:
    space = sl.mapspace(spec, padded=padded)
    if space.size == 0:
        return
    batch = space.sample(8, seed)
    assert all(batch[i] in space for i in range(8))
    near = space.neighbours(batch[0])
    assert all(near[i] in space for i in range(len(near)))
    keys = [mapping_key(near[i]) for i in range(len(near))]
    assert len(set(keys)) == len(keys)


@given(specs())
@settings(max_examples=25, deadline=None)
def test_representatives_cost_what_their_classes_cost(spec: sl.Spec) -> None:
    """No order has a cost that no representative has, and there are as many representatives as classes."""
    space = sl.mapspace(spec)
    if not 0 < space.size <= 40_000 or space.template_count > 400:
        return
    assert space.exact_classes
    found: list[set[tuple[str, str, int]]] = []
    total = 0
    for batches in (space.distinct_chunks(), space.chunks()):
        costs: set[tuple[str, str, int]] = set()
        for batch in batches:
            total += len(batch) if not found else 0
            columns = sl.evaluate(spec, batch, keep=("energy_pj", "cycles", "status"))
            costs |= {(f"{e:.9g}", f"{c:.9g}", int(s)) for e, c, s in zip(*columns.values(), strict=True)}
        found.append(costs)
    assert found[0] == found[1]
    assert total == space.distinct_size <= space.size
    assert math.isfinite(space.distinct_size)
