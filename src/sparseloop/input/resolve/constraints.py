"""Checks the names in the mapper's constraints; the mapper itself reads what they say.

Constraints that hold for every layer name the ranks of all layers (`RANKS`); one that a layer lacks says nothing about it.
"""

from __future__ import annotations

from sparseloop.input.diagnostics import Path
from sparseloop.input.networks.layers import RANKS
from sparseloop.input.resolve.architecture import Hierarchy
from sparseloop.input.resolve.log import ResolveLog
from sparseloop.input.spec import ConstraintSpec
from sparseloop.model.design.einsum import Einsum


def check_constraints(hierarchy: Hierarchy, einsum: Einsum, log: ResolveLog) -> None:
    """Every level, fanout, rank and tensor named in the constraints must exist."""
    for name, spec in log.spec.constraints.items():
        path = ("constraints", name)
        if name not in hierarchy.names:
            log.unknown(path, "level or fanout", name, hierarchy.names, key=True)
        for key in ("factors", "max", "min"):
            for rank in getattr(spec, key):
                if rank not in (*einsum.ranks, *RANKS):
                    log.unknown((*path, key, rank), "rank", rank, einsum.ranks, key=True)
        _check_order(spec, (*path, "order"), einsum, log)
        for tensor in sorted(set(spec.keep or ()) & set(spec.bypass or ())):
            log.error((*path, "bypass"), f"{tensor} is both kept and bypassed at '{name}'")
        for key in ("keep", "bypass", "no_temporal_reuse", "no_multicast", "no_forwarding"):
            for tensor in getattr(spec, key) or ():
                if tensor not in einsum.index:
                    log.unknown((*path, key), "tensor", tensor, einsum.index)


def _check_order(spec: ConstraintSpec, path: Path, einsum: Einsum, log: ResolveLog) -> None:
    words = (spec.order or "").replace("...", " ... ").replace(",", " ").split()
    for word in words:
        if word not in ("...", "*", *RANKS) and word not in einsum.ranks:
            log.unknown(path, "rank", word, einsum.ranks)
    if words.count("...") > 1:
        log.error(path, "'...' may stand once in an order", "e.g. 'm ... q s': m outermost, q and s innermost")
