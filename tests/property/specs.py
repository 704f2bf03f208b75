"""Random small specifications: problem, nest, bounds, formats, features."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np
from hypothesis import strategies as st

from sparseloop.energy.pricing import ACTIONS
from sparseloop.model.density import Actual, DensityModel
from sparseloop.model.design.arch import Arch, Level, Network, Price
from sparseloop.model.design.einsum import Axis, Einsum, Tensor, Term
from sparseloop.model.design.mapping import Loop, LoopNest, Mapping
from sparseloop.model.design.sparse import RankFormat, Saf, Sparse, TensorFormat


@dataclass(frozen=True)
class Problem:
    """Tensor name to axes; an axis is a tuple of (rank, coefficient). The last tensor is the output."""

    tensors: dict[str, tuple[tuple[tuple[str, int], ...], ...]]

    @property
    def ranks(self) -> list[str]:
        return list(dict.fromkeys(r for axes in self.tensors.values() for axis in axes for r, _ in axis))

    @property
    def halo_ranks(self) -> list[str]:
        """Ranks that share an axis with another one."""
        return list(dict.fromkeys(r for axes in self.tensors.values() for axis in axes if len(axis) > 1 for r, _ in axis))


def plain(*names: str) -> tuple[tuple[tuple[str, int], ...], ...]:
    return tuple(((n, 1),) for n in names)


MATMUL = Problem({"A": plain("m", "k"), "B": plain("k", "n"), "Z": plain("m", "n")})
MTTKRP = Problem({"A": plain("i", "k", "l"), "B": plain("k", "j"), "C": plain("l", "j"), "Z": plain("i", "j")})
BATCHED = Problem({"A": plain("b", "m", "k"), "B": plain("k"), "Z": plain("b", "m")})
CONV = Problem({"I": ((("c", 1),), (("p", 1), ("r", 1))), "W": plain("m", "c", "r"), "O": plain("m", "p")})
STRIDED = Problem({"I": ((("p", 2), ("r", 1)),), "W": plain("m", "r"), "O": plain("m", "p")})
PLAIN = (MATMUL, MTTKRP, BATCHED)
AFFINE = (CONV, STRIDED)


@dataclass(frozen=True)
class Case:
    """A specification without densities."""

    problem: Problem
    shape: dict[str, int]
    mapping: Mapping
    sparse: Sparse
    blocks: tuple[int, ...]

    @property
    def levels(self) -> int:
        return len(self.blocks)

    def einsum(self, density: dict[str, DensityModel] | None = None) -> Einsum:
        tensors: list[Tensor] = []
        for name, axes in self.problem.tensors.items():
            made = tuple(Axis(terms=tuple(Term(rank=r, coefficient=c) for r, c in axis)) for axis in axes)
            bare = Tensor(name=name, axes=made, output=name == self.output, density=Actual(np.ones(self.data_shape(name), bool)))
            model = (density or {}).get(name, bare.density)
            tensors.append(Tensor(name=name, axes=made, output=bare.output, density=model))
        ranks = tuple(self.shape)
        return Einsum(ranks=ranks, shape=tuple(self.shape[r] for r in ranks), tensors=tuple(tensors))

    @property
    def output(self) -> str:
        return list(self.problem.tensors)[-1]

    def data_shape(self, name: str) -> tuple[int, ...]:
        return tuple(1 + sum(abs(c) * (self.shape[r] - 1) for r, c in axis) for axis in self.problem.tensors[name])

    def arch(self) -> Arch:
        prices = {a: Price(energy_pj=1.0, source="test") for a in ACTIONS}
        network = Network(name="net", word_bits=16)
        mesh = 1
        levels: list[Level] = []
        for level, block in enumerate(self.blocks):
            levels.append(
                Level(
                    name=f"L{level}",
                    kind="storage",
                    instances=mesh,
                    mesh_x=mesh,
                    block_size=block,
                    metadata_word_bits=8,
                    metadata_access_bits=8,
                    prices=prices,
                    network=network,
                )
            )
            bounds = zip(self.mapping.nest.loops, self.mapping.bounds, strict=True)
            mesh *= prod(n for loop, n in bounds if loop.spatial and loop.level == level)
        levels.append(Level(name="MAC", kind="compute", instances=mesh, mesh_x=mesh, prices=prices))
        return Arch(levels=tuple(levels))


def data(case: Case, seed: int, fraction: float = 0.5) -> dict[str, np.ndarray]:
    """A random pattern of every tensor (the output included: its final pattern)."""
    rng = np.random.default_rng(seed)
    return {name: rng.random(case.data_shape(name)) < fraction for name in case.problem.tensors}


@st.composite
def factors(draw: st.DrawFn, size: int, parts: int) -> list[int]:
    """`parts` numbers with product `size`."""
    result = [1] * parts
    left = size
    for prime in (2, 3, 5):
        while left % prime == 0:
            result[draw(st.integers(0, parts - 1))] *= prime
            left //= prime
    return result


@st.composite
def nests(draw: st.DrawFn, problem: Problem, levels: int, diagonal: bool = False) -> tuple[dict[str, int], Mapping]:
    """Shapes with at most ~200 points, random loop orders, spatial loops and bypasses."""
    budget = 150
    shape: dict[str, int] = {}
    for rank in problem.ranks:
        choices = [s for s in (1, 2, 3, 4, 6, 8) if s <= budget] or [1]
        shape[rank] = draw(st.sampled_from(choices))
        budget //= shape[rank]
    split = {rank: draw(factors(shape[rank], levels * 2)) for rank in shape}
    for rank in () if diagonal else problem.halo_ranks[1:]:  # two spatial loops on one axis share words along diagonals
        for level in range(levels):
            split[rank][2 * level] *= split[rank][2 * level + 1]
            split[rank][2 * level + 1] = 1
    loops: list[Loop] = []
    bounds: list[int] = []
    for level in range(levels):
        for kind in range(2):
            for rank in draw(st.permutations(list(shape))):
                n = split[rank][2 * level + kind]
                if n > 1 or draw(st.integers(0, 5)) == 0:
                    loops.append(Loop(rank=rank, level=level, axis="x" if kind else None))
                    bounds.append(n)
    keep = [frozenset(problem.tensors)]
    keep += [frozenset(t for t in problem.tensors if draw(st.booleans())) for _ in range(levels - 1)]
    nest = LoopNest(loops=tuple(loops), keep=tuple(keep))
    return shape, Mapping(nest=nest, bounds=tuple(bounds))


@st.composite
def tensor_formats(draw: st.DrawFn, ranks: tuple[str, ...]) -> TensorFormat:
    """A list of rank formats with no compressed rank above an uncompressed one."""
    style = draw(st.sampled_from(["compressed", "compressed", "flat", "plain"]))
    order = draw(st.sampled_from(["outer_to_inner", "outer_to_inner", "inner_to_outer"]))
    if style == "flat":
        kinds = draw(st.sampled_from([("RLE",), ("B",), ("CP",), ("UOP", "CP"), ("UOP", "RLE")]))
        made = tuple(RankFormat(kind=k, groups=(ranks,)) for k in kinds)
    elif style == "plain":
        kinds = draw(st.lists(st.sampled_from(["UB", "UOP", "U"]), min_size=1, max_size=3))
        made = tuple(RankFormat(kind=k) for k in kinds)
    else:
        upper = draw(st.lists(st.sampled_from(["UOP", "UOP", "U", "UB"]), max_size=2))
        lower = draw(st.lists(st.sampled_from(["CP", "B", "RLE"]), min_size=1, max_size=2))
        made = tuple(RankFormat(kind=k) for k in [*upper, *lower])
    return TensorFormat(ranks=made, order=order)


@st.composite
def features(draw: st.DrawFn, problem: Problem, mapping: Mapping, formats: bool = True) -> Sparse:
    """Formats (the same at all keeping levels from some level outwards) and up to three SAFs."""
    names = list(problem.tensors)
    levels = len(mapping.nest.keep)
    chosen: dict[tuple[int, str], TensorFormat] = {}
    if formats:
        for name in names:
            if draw(st.booleans()):
                ranks = tuple(dict.fromkeys(r for axis in problem.tensors[name] for r, _ in axis))
                fmt = draw(tensor_formats(ranks))
                depth = draw(st.integers(0, levels - 1))
                for level in range(depth + 1):
                    if name in mapping.nest.keep[level]:
                        chosen[level, name] = fmt
    safs: list[Saf] = []
    for _ in range(draw(st.integers(0, 3))):
        follower = draw(st.sampled_from(names))
        leaders = tuple(draw(st.lists(st.sampled_from(names[:-1]), min_size=1, max_size=2, unique=True)))
        safs.append(
            Saf(
                kind=draw(st.sampled_from(["skip", "skip", "gate", "spatial_skip"])),
                level=draw(st.integers(0, levels - 1)),
                follower=follower,
                leaders=leaders,
                intersection=draw(st.sampled_from(["two_finger", "leader_follower"])),
            )
        )
    return Sparse(
        formats=chosen,
        safs=tuple(safs),
        compute_skip=draw(st.integers(0, 4)) == 0,
        compute_gate=draw(st.integers(0, 4)) == 0,
        implied_skips=draw(st.booleans()),
    )


@st.composite
def cases(
    draw: st.DrawFn,
    problems: tuple[Problem, ...] = PLAIN,
    formats: bool = True,
    sparse: bool = True,
    blocks: bool = True,
    diagonal: bool = False,
) -> Case:
    """A random specification; `diagonal`: spatial loops over two ranks of one halo axis are allowed."""
    problem = draw(st.sampled_from(problems))
    levels = draw(st.integers(1, 3))
    shape, mapping = draw(nests(problem, levels, diagonal))
    saf = draw(features(problem, mapping, formats)) if sparse else Sparse(formats={})
    even = all(n in (1, 2, 4, 6, 8) for n in mapping.bounds)  # a block that does not divide a loop ends early
    sizes = tuple(draw(st.sampled_from([1, 1, 2])) if blocks and even else 1 for _ in range(levels))
    return Case(problem=problem, shape=shape, mapping=mapping, sparse=saf, blocks=sizes)


@st.composite
def imperfect_cases(draw: st.DrawFn, problems: tuple[Problem, ...] = (*PLAIN, *AFFINE)) -> Case:
    """Dense specifications with residuals: bounds that multiply to more than the shape."""
    problem = draw(st.sampled_from(problems))
    levels = draw(st.integers(1, 3))
    _, mapping = draw(nests(problem, levels))
    nest, bounds = mapping.nest, mapping.bounds
    residuals = [draw(st.integers(1, n)) for n in bounds]
    shape: dict[str, int] = {}
    for rank in problem.ranks:
        mine = [i for i, loop in enumerate(nest.loops) if loop.rank == rank]
        last = 0
        for i in mine:
            last = last * bounds[i] + residuals[i] - 1
        shape[rank] = last + 1
    mapping = Mapping(nest=nest, bounds=bounds, residuals=tuple(residuals))
    return Case(problem=problem, shape=shape, mapping=mapping, sparse=Sparse(formats={}), blocks=(1,) * levels)


@st.composite
def option_cases(draw: st.DrawFn, problems: tuple[Problem, ...] = (*PLAIN, *AFFINE), sparse: bool = False) -> Case:
    """Specifications with sharing or temporal reuse switched off at some levels."""
    case = draw(cases(problems, formats=sparse, sparse=sparse, blocks=False))
    nest = case.mapping.nest
    pairs = st.frozensets(st.tuples(st.integers(0, case.levels - 1), st.sampled_from(list(case.problem.tensors))), max_size=3)
    changed = replace(nest, no_multicast=draw(pairs), no_temporal_reuse=draw(pairs))
    return replace(case, mapping=replace(case.mapping, nest=changed))
