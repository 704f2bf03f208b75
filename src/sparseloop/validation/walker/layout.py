"""Laying a list of rank formats on the loops of a tensor."""

from __future__ import annotations

from dataclasses import dataclass

from sparseloop.model.design.sparse import COMPRESSED_KINDS, FormatKind, RankFormat, Sparse, TensorFormat
from sparseloop.validation.walker.tensor_path import TensorPath


@dataclass(frozen=True, slots=True, kw_only=True)
class LaidRank:
    """One format rank with the loops it stores; `kind` None marks a rank of a child without a format."""

    kind: FormatKind | None
    loops: tuple[int, ...]
    of_child: bool = False
    """It lies inside the tile of the next inner level, which was cut beforehand."""


def rank_layout(path: TensorPath, sparse: Sparse, level: int) -> list[LaidRank]:
    """The ranks of the tensor at `level`, outermost first, each with its loops; empty without a format."""
    form = sparse.format(level, path.tensor.name)
    if form is None:
        return []
    child, loops = path.child(level), path.points.nest.loops
    own = [(i,) for i in path.relevant if level <= loops[i].level < child]
    inside = [i for i in path.relevant if loops[i].level >= child]
    if not (form.compressed and inside):
        # nothing is cut into tiles beforehand: a loop absorbs the same rank's loops inside the child's tile
        return _lay(path, form, _merge(path, own, inside), [])
    inner = rank_layout(path, sparse, child) or [LaidRank(kind=None, loops=tuple(inside))]
    return _lay(path, form, own, inner)


def _merge(path: TensorPath, own: list[tuple[int, ...]], inside: list[int]) -> list[tuple[int, ...]]:
    """Candidates of an uncompressed list: the innermost own loop of a rank takes that rank's inner loops."""
    loops, merged, left = path.points.nest.loops, list(own), list(inside)
    for position in reversed(range(len(merged))):
        rank = loops[merged[position][0]].rank
        merged[position] += tuple(i for i in left if loops[i].rank == rank)
        left = [i for i in left if loops[i].rank != rank]
    ranks = dict.fromkeys(loops[i].rank for i in left)
    return merged + [tuple(i for i in left if loops[i].rank == rank) for rank in ranks]


def _lay(path: TensorPath, form: TensorFormat, candidates: list[tuple[int, ...]], inner: list[LaidRank]) -> list[LaidRank]:
    """Lays the formats that the inner ranks leave over on the candidates, repeating the outermost one if need be."""
    formats = list(form.ranks)
    for _ in range(len(candidates) + len(inner) + 1):
        outer = formats[: max(0, len(formats) - len(inner))]
        laid = _assign(path, outer, candidates, form.order == "inner_to_outer")
        if len(formats) >= len(inner) and sum(map(len, laid)) == sum(map(len, candidates)):
            kinds: list[FormatKind] = [f.kind for f in formats[len(outer) :]]
            _check_agreement(path, kinds, inner)
            own = [LaidRank(kind=f.kind, loops=taken) for f, taken in zip(outer, laid, strict=True)]
            return own + [LaidRank(kind=kind, loops=rank.loops, of_child=True) for kind, rank in zip(kinds, inner, strict=True)]
        if not form.automatic:
            break
        formats.insert(0, form.ranks[0])
    raise ValueError(f"the format of {path.tensor.name} has too few ranks for its loops")


def _check_agreement(path: TensorPath, kinds: list[FormatKind], inner: list[LaidRank]) -> None:
    """The inner ranks of a compressed child must have the child's formats."""
    compressed_child = any(r.kind in COMPRESSED_KINDS for r in inner)
    if compressed_child and any(r.kind != kind for kind, r in zip(kinds, inner, strict=True)):
        raise ValueError(f"formats of {path.tensor.name} differ between a level and its child")


def _assign(
    path: TensorPath, formats: list[RankFormat], candidates: list[tuple[int, ...]], mirrored: bool
) -> list[tuple[int, ...]]:
    """Gives every format its loops, from the outermost inwards (mirrored: from the innermost outwards)."""
    loops = path.points.nest.loops
    queue = list(reversed(candidates)) if mirrored else list(candidates)
    laid = list[tuple[int, ...]]()
    for form in reversed(formats) if mirrored else formats:
        taken: tuple[int, ...] = ()
        if not form.groups and queue:
            taken = queue.pop(0)
        elif queue:
            group = next((g for g in form.groups if loops[queue[0][0]].rank in g), ())
            while queue and loops[queue[0][0]].rank in group:
                taken += queue.pop(0)
        laid.append(tuple(sorted(taken)))
    return laid[::-1] if mirrored else laid
