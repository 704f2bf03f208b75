"""Small einsums and mappings in few letters, and walks over them."""

from __future__ import annotations

import numpy as np

from sparseloop.model.design.einsum import Axis, Einsum, Tensor, Term
from sparseloop.model.design.mapping import Loop, LoopNest, Mapping
from sparseloop.model.design.sparse import RankFormat, Saf, Sparse, TensorFormat
from sparseloop.validation.walker import Walk, Walker

DENSE = Sparse(formats={})


def tensor(name, *axes, output=False):
    """Axes as strings "p+2r+-1": sums of ranks with coefficients, and a constant. The walker needs no density model."""
    parsed = []
    for axis in axes:
        parts = axis.split("+")
        terms = [Term(rank=part[-1], coefficient=int(part[:-1] or 1)) for part in parts if part[-1].isalpha()]
        parsed.append(Axis(terms=tuple(terms), offset=sum(int(part) for part in parts if part[-1].isdigit())))
    return Tensor(name=name, axes=tuple(parsed), output=output, density=None)


def einsum(tensors, **shape):
    return Einsum(ranks=tuple(shape), shape=tuple(shape.values()), tensors=tuple(tensors))


def matmul(m, n, k):
    return einsum([tensor("A", "m", "k"), tensor("B", "n", "k"), tensor("Z", "m", "n", output=True)], m=m, n=n, k=k)


def conv1d(r, p):
    return einsum([tensor("W", "r"), tensor("I", "p+r"), tensor("O", "p", output=True)], p=p, r=r)


def mapped(text, keep, **options):
    """Levels outermost first, split by "|": "m4 n2 k8x" (x: spatial); keep: one string of tensor names a level."""
    loops, bounds, last = [], [], []
    for level, part in enumerate(text.split("|")):
        for word in part.split():
            size, _, residual = word[1:].rstrip("x").partition(",")
            loops.append(Loop(rank=word[0], level=level, axis="x" if word.endswith("x") else None))
            bounds.append(int(size))
            last.append(int(residual or size))
    nest = LoopNest(loops=tuple(loops), keep=tuple(frozenset(k) for k in keep.split("|")), **options)
    return Mapping(nest=nest, bounds=tuple(bounds), residuals=tuple(last) if last != bounds else None)


def full(problem):
    return {t.name: np.ones(problem.tensor_shape(t), dtype=bool) for t in problem.tensors}


def walk(problem, mapping, sparse=DENSE, blocks=None, **data) -> Walk:
    blocks = blocks or (1,) * len(mapping.nest.keep)
    data = {name: np.array(pattern, dtype=bool) for name, pattern in data.items()}
    return Walker(problem, blocks, mapping, sparse).walk({**full(problem), **data})


def totals(walked, level, name):
    t = walked.tensors[level, name]
    return t.reads.total, t.fills.total, t.updates.total


def split(classes):
    return classes.actual, classes.gated, classes.skipped, classes.absent


def fmt(*kinds, **options):
    return TensorFormat(ranks=tuple(RankFormat(kind=k) for k in kinds), **options)


def saf(kind, level, follower, *leaders, **options):
    return Saf(kind=kind, level=level, follower=follower, leaders=leaders, **options)
