"""Small mapspaces that tests of the mapper share, and a count of their mappings from first principles."""

from __future__ import annotations

import math
from itertools import permutations, product

import sparseloop as sl

TINY = """\
workload: {einsum: "Z[m,n] = A[m,k] * B[k,n]", shape: {m: 4, n: 2, k: 3}, density: {A: 0.5, B: 0.5}}
architecture:
  node: 45nm
  levels:
    - {name: DRAM, class: dram, type: LPDDR4, bandwidth: 4}
    - {name: GLB, class: sram, capacity: 20 words, bandwidth: 4}
    - {fanout: {x: 2, y: 2}}
    - {name: RF, class: regfile, capacity: 6 words}
    - {name: MAC, class: mac}
"""
SPARSE = """\
sparse:
  GLB: {gate: [B <- A]}
  MAC: {gate: true}
"""
FIXED = """\
constraints: {DRAM: {order: k ... , keep: [A, B, Z]}, GLB: {keep: [A, B, Z]}, RF: {keep: [Z], bypass: [A, B], max: {m: 2}}}
"""
CONSTRAINED = """\
constraints:
  DRAM: {factors: {k: 1}, order: "m ..."}
  GLB: {keep: [A], max: {m: 2}, order: "... n"}
  par: {factors: {m: 2}, default_max: 2}
  RF: {bypass: [A], min: {k: 3}}
"""


def spec_of(*extra: str) -> sl.Spec:
    return sl.loads(TINY + "".join(extra))


def divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


def brute_factors(spec: sl.Spec) -> dict[str, list[dict[tuple[int, str], int]]]:
    """Per rank every assignment of factors to (level, 't' | 'x' | 'y') that the constraints of the rank admit."""
    names = ["DRAM", "GLB", "RF"]
    found: dict[str, list[dict[tuple[int, str], int]]] = {}
    slots = [(0, "t"), (1, "t"), (1, "x"), (1, "y"), (2, "t")]
    for rank, size in spec.workload.shape.items():
        every = (dict(zip(slots, f, strict=True)) for f in product(divisors(size), repeat=len(slots)) if math.prod(f) == size)
        found[rank] = [f for f in every if f[1, "x"] <= 2 and f[1, "y"] <= 2 and _admits(spec, names, rank, f)]
    return found


def _admits(spec: sl.Spec, names: list[str], rank: str, f: dict[tuple[int, str], int]) -> bool:
    places = {name: f[i, "t"] for i, name in enumerate(names)} | {"par": f[1, "x"] * f[1, "y"]}
    for name, rule in spec.constraints.items():
        value = places[name]
        if rank in rule.factors and value != rule.factors[rank]:
            return False
        if value < rule.min.get(rank, 1) or value > rule.max.get(rank, rule.default_max or 10**9):
            return False
    return True


def brute_orders(spec: sl.Spec, level: str) -> int:
    """Orders of the loops that may exist at a level; a loop may if some admitted factor is above 1 (by the constraints)."""
    rule = spec.constraints.get(level)
    ranks = [r for r, size in spec.workload.shape.items() if size > 1]
    if rule:
        ranks = [r for r in ranks if rule.factors.get(r) != 1 and rule.max.get(r, rule.default_max) != 1]
    words = (rule.order or "...").split() if rule else ["..."]
    at = words.index("...") if "..." in words else 0
    named = [w for w in words if w != "..."]
    outer, inner = [w for w in named[:at] if w in ranks], [w for w in named[at:] if w in ranks]

    def fits(order: tuple[str, ...]) -> bool:
        return list(order[: len(outer)]) == outer and list(order[len(order) - len(inner) :]) == inner

    return sum(fits(order) for order in permutations(ranks))


def brute_bypasses(spec: sl.Spec) -> int:
    """Choices of levels per tensor: the outermost one that may keep it does."""
    total = 1
    for tensor in "ABZ":
        choices = 0
        for kept in product([True, False], repeat=3):
            rules = [spec.constraints.get(name) for name in ("DRAM", "GLB", "RF")]
            forced = all(
                (not rule or tensor not in (rule.keep or ()) or k) and (not rule or tensor not in (rule.bypass or ()) or not k)
                for rule, k in zip(rules, kept, strict=True)
            )
            choices += forced and kept[0]
        total *= choices
    return total


def brute_size(spec: sl.Spec) -> int:
    factors = math.prod(len(found) for found in brute_factors(spec).values())
    return factors * math.prod(brute_orders(spec, level) for level in ("DRAM", "GLB", "RF")) * brute_bypasses(spec)
