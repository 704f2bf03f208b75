"""Random einsums: the usual ones and arbitrary ones, with their densities."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import prod

import numpy as np

from sparseloop.model.design.einsum import Axis, Term
from tests.property.fuzz.densities import Density, Layer
from tests.property.fuzz.specification import Operand

NAMED = (
    "Z[m,n] = A[m,k] * B[k,n]",
    "Z[m,n] = A[m,k] * B[k,n]",
    "Z[m,n] = A[m,k] * B[n,k]",
    "Z[m] = A[m,k] * B[k]",
    "Z[b,m] = A[b,m,k] * B[k]",
    "Z[b,m,n] = A[b,m,k] * B[b,k,n]",
    "Z[i,j] = A[i,k,l] * B[k,j] * C[l,j]",
    "Z[i,j] = S[i,j] * A[i,k] * B[k,j]",
    "Z[a,b] = X[a,i,j] * P[i,b] * Q[j,b] * R[a]",
    "Z[m,p] = I[c,p+r] * W[m,c,r]",
    "Z[m,p] = I[2p+r] * W[m,r]",
    "Z[m,p] = I[p+2r] * W[m,r]",
    "Z[p] = I[3p+2r] * W[r]",
    "Z[p,q] = I[p+r,q+s] * W[r,s]",
    "Z[q] = W[s,r] * I[q+2s+r]",
    "Z[p] = I[p-r] * W[r]",
    "Z[p] = I[p+r-1] * W[r]",
    "Z[p] = A[2p]",
    "Z = A[i] * B[i]",
    "Z = A[i,i]",
    "Z[i,i] = A[i]",
    "Z[i,j] = A[i,k] * B[j,k]",
    "Z[i] = A[i,i] * B[i]",
    "Z[i] = A[i,k,k]",
    "Z[m,n] = A[m] * B[n]",
    "Z[k] = A[k,m,n]",
    "Z[m,n] =",
    "Z =",
)
LETTERS = "ijkl"


def parsed(text: str) -> tuple[Operand, ...]:
    """Operands of a text such as `Z[p] = I[2p+r-1] * W[r]`, the result last; ranks are single letters."""
    result, _, operands = text.partition("=")
    names = [one.strip() for one in operands.split("*") if one.strip()] + [result.strip()]
    return tuple(Operand(name[0], tuple(_axis(index) for index in name[2:-1].split(",") if index)) for name in names)


def _axis(index: str) -> Axis:
    terms, offset = list[Term](), 0
    for part in index.replace("-", "+-").split("+"):
        if part.lstrip("-").isdigit():
            offset += int(part)
        elif part:
            written = part[:-1]
            terms.append(Term(rank=part[-1], coefficient=int(written + "1" if written in ("", "-") else written)))
    return Axis(terms=tuple(terms), offset=offset)


def draw_tensors(dice: random.Random) -> tuple[Operand, ...]:
    """An einsum of 0 to 4 operands, all dense."""
    if dice.random() < 0.65:
        return parsed(dice.choice(NAMED))
    ranks = LETTERS[: dice.choice((1, 2, 2, 3, 3, 4))]
    count = dice.choice((0, 1, 1, 2, 2, 2, 2, 3, 3, 4))
    tensors = [Operand(name, _axes(dice, ranks, dice.choice((0, 1, 1, 2, 2, 3)))) for name in "ABCD"[:count]]
    return (*tensors, Operand("Z", _axes(dice, ranks, dice.choice((0, 1, 1, 2, 2)))))


def _axes(dice: random.Random, ranks: str, count: int) -> tuple[Axis, ...]:
    """Indices of one tensor: mostly different single ranks, sometimes sums, steps, constants and repetitions."""
    again = dice.random() < 0.15
    taken = [dice.choice(ranks) for _ in range(count)] if again else dice.sample(ranks, min(count, len(ranks)))
    axes = list[Axis]()
    for rank in taken:
        terms = [Term(rank=rank, coefficient=dice.choice((1, 1, 1, 1, 1, 2, 3)))]
        others = [r for r in ranks if r != rank and (again or r not in taken)]
        if others and dice.random() < 0.2:
            terms.append(Term(rank=dice.choice(others), coefficient=dice.choice((1, 1, 2, -1))))
        axes.append(Axis(terms=tuple(terms)))
    return tuple(axes)


# --- densities ----------------------------------------------------------------------------------------------


def draw_density(dice: random.Random, shape: Sequence[int], fixed: bool) -> Density:
    """Any model that a tensor of this shape can have; `fixed`: only known patterns."""
    shape = tuple(shape)
    if dice.random() < 0.15:
        return Density()
    if fixed or not shape:
        return _known(dice, shape)
    kind = dice.choice(
        (
            "uniform",
            "uniform",
            "uniform",
            "even",
            "structured",
            "structured",
            "hierarchical",
            "block",
            "rows",
            "clustered",
            "layered",
            "given",
        )
    )
    if kind == "given":
        return _known(dice, shape)
    fraction = dice.choice((0.1, 0.25, 0.4, 0.5, 0.75, 0.9))
    if kind == "structured":
        axis = dice.choice([a for a, size in enumerate(shape) if size > 1] or [0])
        m = dice.choice([m for m in (2, 4, 4, 8, 3) if m <= shape[axis]] or [2, 4])
        return Density("structured", n=dice.choice((1, 1, m // 2, m - 1)), m=m, axis=axis)
    if kind == "hierarchical":
        axis = dice.choice([a for a, size in enumerate(shape) if size > 1] or [0])
        ratios = tuple(dice.choice(((1, 2), (1, 2), (1, 3), (2, 3), (2, 4))) for _ in range(dice.choice((2, 2, 3))))
        return Density("hierarchical", ratios=ratios, axis=axis)
    if kind == "rows":
        return _draw_rows(dice, shape)
    if kind == "layered":
        return Density("layered", layers=_draw_layers(dice, shape))
    if kind in ("block", "clustered"):
        block = tuple(dice.choice([b for b in (1, 2, 2, 3, 4) if b <= size]) for size in shape)
        if kind == "clustered":
            return Density("clustered", fraction, block=block, correlation=dice.choice((0.1, 0.3, 0.6, 0.9)))
        return Density("block", fraction, block=block, inner=dice.choice((1.0, 1.0, 0.5, 0.7)))
    return Density("even" if kind == "even" else "uniform", fraction)


def _draw_rows(dice: random.Random, shape: tuple[int, ...]) -> Density:
    """Rows with one of two or three numbers of non-zeros."""
    axis = dice.choice([a for a, size in enumerate(shape) if size > 1] or [0])
    words = prod(shape) // shape[axis]
    counts = sorted(dice.sample(range(words + 1), min(words + 1, dice.choice((2, 2, 3)))))
    weights = [dice.randint(1, 4) for _ in counts]
    return Density("rows", axis=axis, histogram=tuple((n, w / sum(weights)) for n, w in zip(counts, weights, strict=True)))


def _draw_layers(dice: random.Random, shape: tuple[int, ...]) -> tuple[Layer, ...]:
    """n:m of blocks, blocks of n:m groups, or n:m along two axes."""
    axis = dice.choice([a for a, size in enumerate(shape) if size > 1] or [0])
    n, m = dice.choice(((1, 2), (1, 2), (2, 3), (2, 4), (1, 3)))
    block = tuple(dice.choice((1, 1, 2, 2, 3)) for _ in shape)
    match dice.choice(("blocks of groups", "groups of blocks", "groups of groups")):
        case "blocks of groups":
            wide = tuple(side * (m if at == axis else 1) for at, side in enumerate(block))
            return (Layer(block=wide, occupied=dice.choice((0.3, 0.5, 0.8))), Layer(n, m, axis))
        case "groups of blocks":
            return (Layer(n, m, axis), Layer(block=block, fraction=dice.choice((None, 0.5))))
        case _:
            return (Layer(n, m, axis), Layer(1, 2, dice.choice([a for a, size in enumerate(shape) if size > 1] or [0])))


def _known(dice: random.Random, shape: tuple[int, ...]) -> Density:
    if not shape:
        return Density("uniform", dice.choice((0.0, 1.0, 1.0)))
    style = dice.choice(("scattered", "scattered", "scattered", "rows", "empty", "full", "banded" if len(shape) == 2 else "rows"))
    if style == "banded":
        return Density("banded", half_width=dice.choice((0, 1, 2)))
    if style == "empty":
        return Density("uniform", 0.0)
    rng = np.random.default_rng(dice.getrandbits(32))
    pattern = rng.random(shape) < dice.choice((0.1, 0.3, 0.5, 0.8)) if style != "full" else np.ones(shape, bool)
    if style == "rows":
        pattern &= (rng.random(shape[0]) < 0.5).reshape(-1, *(1 for _ in shape[1:]))
    return Density("given", bits=tuple(bool(b) for b in pattern.reshape(-1)), bits_shape=shape)
