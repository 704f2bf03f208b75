"""Einsum, shape and densities of a specification become an `Einsum`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sparseloop.input.notation import Access, parse_einsum
from sparseloop.input.resolve.densities import LARGEST_TENSOR, density_of, with_twins
from sparseloop.input.resolve.log import ResolveLog
from sparseloop.input.resolve.padding import check_padding, true_extents
from sparseloop.input.spec import WorkloadSpec
from sparseloop.model.density import DensityModel
from sparseloop.model.design.einsum import Axis, Einsum, Tensor, Term
from sparseloop.model.design.result_density import produced_density


def resolve_workload(log: ResolveLog, *, moved: bool = False) -> Einsum:
    """The einsum with all tensors, the result last; mistakes are logged, and a harmless value stands in for what is wrong.

    `moved`: partial sums come and go otherwise than as whole copies, whatever the specification says.
    """
    spec, path = log.spec.workload, log.spec.workload_path
    text = parse_einsum(spec.einsum)
    if not spec.name.strip() or not spec.name.isprintable():
        log.error((*path, "name"), f"{spec.name!r} is no name: it is empty or cannot be printed")
    extents = _extents(spec, text.ranks, log)
    names = [access.name for access in text.tensors]
    for key, given in (("density", spec.density), ("extent", spec.extent)):
        for name in given:
            if name not in names:
                log.unknown((*path, key, name), "tensor", name, names, key=True)
    if isinstance(spec.word_bits, dict):
        for name in spec.word_bits:
            if name not in names:
                log.unknown((*path, "word_bits", name), "tensor", name, names, key=True)
    for role, name in spec.roles.items():
        if name not in names:
            log.unknown((*path, "roles", role), "tensor", name, names)
    tensors = [_tensor(access, extents, log, output=i == 0) for i, access in enumerate(text.tensors)]
    tensors = with_twins(tensors, log)
    check_padding(tensors, extents, log)
    result = replace(tensors[0], density=_of_result(tensors[0], tensors[1:], extents, log, moved or _moved(log)))
    return Einsum(
        name=spec.name,
        ranks=tuple(extents),
        shape=tuple(extents.values()),
        tensors=(*tensors[1:], result),
    )


def _moved(log: ResolveLog) -> bool:
    """Do partial sums come and go otherwise than as whole copies, so that it matters that dense ones are made, too?"""
    return any(level.partials not in (None, "whole") for level in log.spec.sparse.values())


def _of_result(
    result: Tensor, operands: Sequence[Tensor], extents: Mapping[str, int], log: ResolveLog, moved: bool
) -> DensityModel:
    """The density that is given; else, in a native specification, what the operands make of it."""
    spec = log.spec.workload.density.get(result.name)
    asked = spec is not None and spec.model == "produced"
    if not asked and (spec is not None or not log.native):
        return result.density
    apart = _is_served_apart(result.name, log)
    made = produced_density(result, operands, extents, dense_too=moved or apart)
    if made is None and any(t.density.density < 1 for t in operands) and _is_told(result.name, log):
        log.warn(
            f"{result.name} is taken as dense, which counts too much: the density of a result with a sum of ranks as an index "
            "is known only for given data of at most 2^21 points"
        )
    return made or result.density


def _is_served_apart(name: str, log: ResolveLog) -> bool:
    """True if some mapping may serve lanes one by one with the words of a tensor that is stored with a format."""
    stored = any(name in level.formats for level in log.spec.sparse.values())
    switches = (entry.no_multicast for entry in (*log.spec.mapping, *log.spec.constraints.values()))
    return stored and any(name in names for names in switches)


def _is_told(name: str, log: ResolveLog) -> bool:
    """True if it matters where a tensor's zeros are: it has a format, or leads."""
    levels = log.spec.sparse.values()
    listed = [safs for level in levels for safs in (level.skip, level.gate, level.spatial_skip) if not isinstance(safs, bool)]
    leads = any(name in saf.leaders for safs in listed for saf in safs)
    return leads or any(name in level.formats for level in levels)


def _extents(spec: WorkloadSpec, ranks: Sequence[str], log: ResolveLog) -> dict[str, int]:
    """Rank variable to size, in order of appearance; missing ones are mistakes."""
    path = (*log.spec.workload_path, "shape")
    if missing := [rank for rank in ranks if rank not in spec.shape]:
        listed = ", ".join(f"'{rank}'" for rank in missing)
        log.error(path, f"shape lacks {listed} of the einsum", key=True)
    for rank in spec.shape:
        if rank not in ranks and log.native:
            log.unknown((*path, rank), "rank", rank, ranks, key=True)
    return {rank: spec.shape.get(rank, 1) for rank in dict.fromkeys((*ranks, *spec.shape))}


def _tensor(access: Access, extents: Mapping[str, int], log: ResolveLog, *, output: bool) -> Tensor:
    spec = log.spec.workload
    axes = tuple(
        Axis(terms=tuple(Term(rank=rank, coefficient=c) for rank, c in form.terms), offset=form.offset) for form in access.axes
    )
    axes = true_extents(access.name, axes, extents, log)
    words = math.prod(axis.extent(dict(extents)) for axis in axes)
    if words > LARGEST_TENSOR:
        log.error((*log.spec.workload_path, "shape"), f"{access.name} has more than 2**62 words", key=True)
        axes = ()
    bits = spec.word_bits.get(access.name) if isinstance(spec.word_bits, dict) else spec.word_bits
    density = density_of(access.name, axes, extents, log)
    return Tensor(name=access.name, axes=axes, output=output, density=density, word_bits=bits)
