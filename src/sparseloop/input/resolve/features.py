"""Formats, gating and skipping of a specification become a `Sparse`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, cast

from sparseloop.input.diagnostics import Path, did_you_mean
from sparseloop.input.resolve.architecture import Hierarchy
from sparseloop.input.resolve.log import ResolveLog
from sparseloop.input.spec import FormatSpec, LevelSparseSpec, RankFormatSpec, SafSpec
from sparseloop.model.design.einsum import Einsum
from sparseloop.model.design.sparse import Intersection, Partials, RankFormat, Saf, SafKind, Sparse, TensorFormat

Kept = Sequence[frozenset[str]] | None
"""Tensors held per storage level; None if there is no mapping yet."""


def resolve_sparse(hierarchy: Hierarchy, einsum: Einsum, keep: Kept, log: ResolveLog) -> Sparse:
    """All sparse features. Mistakes: unknown names, impossible formats, skips whose leader has no metadata."""
    sparse = written_sparse(hierarchy, einsum, log)
    if keep is not None:
        _check_kept(sparse.formats, keep, einsum, hierarchy, log)
    _check_metadata_room(sparse.formats, hierarchy, log)
    _check_leaders(sparse, keep, einsum, hierarchy, log)
    _warn_of_idle_computes(sparse, einsum, hierarchy, log)
    _warn_of_idle_partials(sparse, keep, einsum, hierarchy, log)
    return sparse


def written_sparse(hierarchy: Hierarchy, einsum: Einsum, log: ResolveLog) -> Sparse:
    """The sparse features as written, not checked against each other and the machine."""
    formats, safs = dict[tuple[int, str], TensorFormat](), list[Saf]()
    skip, gate, partials = False, False, dict[int, Partials]()
    compute = hierarchy.stages[-1].name if hierarchy.stages else ""
    for name, spec in log.spec.sparse.items():
        path = ("sparse", name)
        if name == compute:
            skip, gate = _compute(spec, path, log)
        elif name not in hierarchy.storage:
            log.unknown(path, "level", name, [*hierarchy.storage, compute], key=True)
        else:
            level = hierarchy.storage[name]
            partials |= {} if spec.partials is None else {level: spec.partials}
            formats |= {(level, t): f for t, f in _formats(spec, level, path, einsum, log).items()}
            safs += _features(spec, level, path, einsum, log)
    return Sparse(
        formats=formats,
        safs=tuple(safs),
        compute_skip=skip,
        compute_gate=gate,
        partials=partials,
        implied_skips=log.native,
        timeloop_reading=not log.native,
    )


def _compute(spec: LevelSparseSpec, path: Path, log: ResolveLog) -> tuple[bool, bool]:
    """(skip, gate) of the compute level, where only true and false make sense."""
    for name, value in (("skip", spec.skip), ("gate", spec.gate), ("spatial_skip", spec.spatial_skip), ("formats", spec.formats)):
        if value and not isinstance(value, bool):
            hint = f"write {name}: true" if name in ("skip", "gate") else "only skip: true and gate: true"
            log.error((*path, name), f"'{name}' of the compute level names no tensors", hint, key=True)
    if spec.partials is not None:
        hint = "partials belongs to the level that holds the result"
        log.error((*path, "partials"), "the compute level holds no partial sums", hint, key=True)
    return spec.skip is True, spec.gate is True


# --- formats ------------------------------------------------------------------------------------------------


def _formats(spec: LevelSparseSpec, level: int, path: Path, einsum: Einsum, log: ResolveLog) -> dict[str, TensorFormat]:
    result = dict[str, TensorFormat]()
    for name, given in spec.formats.items():
        where = (*path, "formats", name)
        if name not in einsum.index:
            log.unknown(where, "tensor", name, einsum.index, key=True)
        else:
            result[name] = _format(given, name, where, einsum, log)
    return result


def _format(spec: FormatSpec, tensor: str, path: Path, einsum: Einsum, log: ResolveLog) -> TensorFormat:
    ranks = tuple(_rank(rank, tensor, path, einsum, log) for rank in spec.ranks)
    first = next((r for r in ranks if r.compressed), None)
    plain = next((r for r in ranks[ranks.index(first) :] if not r.compressed), None) if first else None
    if first and plain:
        message = f"format of {tensor}: compressed rank {first.kind} stands outside uncompressed rank {plain.kind}"
        log.error(path, message, "ranks go from outer to inner; compressed ones come last, e.g. UOP CP", word=plain.kind)
    if not ranks:
        log.error(path, f"format of {tensor} has no ranks", "e.g. 'UOP CP' or csr")
    automatic = log.native if spec.automatic is None else spec.automatic
    return TensorFormat(ranks=ranks, order=spec.order, automatic=automatic)


def _rank(spec: RankFormatSpec, tensor: str, path: Path, einsum: Einsum, log: ResolveLog) -> RankFormat:
    own = [rank for rank in einsum.ranks if rank in einsum.tensor(tensor).ranks]
    groups = tuple(tuple(own) if group == ("*",) else group for group in spec.ranks)
    for rank in (rank for group in groups for rank in group):
        if rank not in own and (log.native or rank not in einsum.ranks):
            log.error(path, f"{tensor} has no rank '{rank}'", did_you_mean(rank, own), word=rank)
    named = [rank for group in groups for rank in group]
    if log.native and (twice := next((rank for rank in named if named.count(rank) > 1), None)):
        log.error(path, f"format of {tensor}: {spec.kind} names rank '{twice}' twice", word=twice)
    return RankFormat(kind=spec.kind, groups=groups, metadata_bits=spec.metadata_bits, payload_bits=spec.payload_bits)


def _check_kept(
    formats: Mapping[tuple[int, str], TensorFormat],
    keep: Sequence[frozenset[str]],
    einsum: Einsum,
    hierarchy: Hierarchy,
    log: ResolveLog,
) -> None:
    """A level that is compressed below an uncompressed one is a mistake. (A format of a bypassed tensor is none: the machine
    could, the mapping does not; results name it.)
    """
    names = hierarchy.storage_names
    for (level, tensor), form in formats.items():
        path = ("sparse", names[level], "formats", tensor)
        if tensor not in keep[level]:
            continue
        outer = [i for i in range(level) if tensor in keep[i]]
        above = formats.get((outer[-1], tensor)) if outer else form
        if form.compressed and not (above and above.compressed):
            message = f"{tensor} is compressed in {names[level]} but not in {names[outer[-1]]}, where it comes from"
            log.error(path, message, f"give it a compressed format in {names[outer[-1]]} too")


def _check_metadata_room(formats: Mapping[tuple[int, str], TensorFormat], hierarchy: Hierarchy, log: ResolveLog) -> None:
    """In the native reading a format with metadata needs a metadata capacity above 0."""
    for (level, tensor), form in formats.items():
        stage = hierarchy.stages[level]
        capacity = stage.spec.metadata.capacity
        if log.native and form.has_metadata and capacity is not None and capacity.value == 0:
            path = ("sparse", stage.name, "formats", tensor)
            log.error(path, f"the format of {tensor} has metadata, but {stage.name} has no room for it", "metadata: 8 KiB")


# --- gating and skipping ------------------------------------------------------------------------------------


def _features(spec: LevelSparseSpec, level: int, path: Path, einsum: Einsum, log: ResolveLog) -> list[Saf]:
    safs = list[Saf]()
    for number, kind in enumerate(("skip", "gate", "spatial_skip")):
        value = cast("bool | tuple[SafSpec, ...]", getattr(spec, kind))
        if value is True:
            log.error((*path, kind), f"'{kind}: true' is for the compute level", f"{kind}: [A <- B]", key=True)
        if isinstance(value, bool):
            continue
        for saf in value:
            where = _written_at((*path, kind), saf.follower, saf.leaders, log)
            for tensor in (saf.follower, *saf.leaders):
                if tensor not in einsum.index:
                    log.unknown(where, "tensor", tensor, einsum.index)
            if not saf.leaders:
                log.error(where, f"'{kind}' of {saf.follower} has no leader")
            choice = None if saf.choice is None else _choice(saf.choice, level, number)
            safs.append(_saf(saf, kind, level, choice, spec.intersection, log.native))
    return safs


def _saf(
    spec: SafSpec, kind: SafKind, level: int, choice: int | None, default: Intersection | None, native: bool
) -> Saf:  # fmt: skip
    fallback: Literal["two_finger", "leader_follower"] = "two_finger" if native else "leader_follower"
    return Saf(
        kind=kind,
        level=level,
        follower=spec.follower,
        leaders=spec.leaders,
        intersection=spec.intersection or default or fallback,
        choice=choice,
    )


def _choice(number: int, level: int, kind: int) -> int:
    """The number of a set of alternatives, unique in the design: written numbers are shared by all lists of a level,
    negative ones hold within one list.
    """
    local = 2 * number if number >= 0 else 2 * (-number * 3 + kind) + 1
    return local * 1000 + level


def _check_leaders(sparse: Sparse, keep: Kept, einsum: Einsum, hierarchy: Hierarchy, log: ResolveLog) -> None:
    """Each leader of a skip needs metadata at some level, unless it is dense, so that the skip never fires."""
    names = hierarchy.storage_names
    for saf in sparse.safs:
        where = ("sparse", names[saf.level], saf.kind)
        for leader in saf.leaders if saf.kind != "gate" else ():
            if leader not in einsum.index or einsum.tensor(leader).density.density >= 1:
                continue
            levels = [i for i in range(len(names)) if keep is None or leader in keep[i]]
            if any((form := sparse.format(i, leader)) is not None and form.has_metadata for i in levels):
                continue
            if log.native:
                message = f"cannot skip {saf.follower} on {leader}: no level that holds {leader} has metadata of it"
                hint = f"give {leader} a format, e.g. {names[levels[0] if levels else 0]}: {{formats: {{{leader}: bitmask}}}}"
                log.error(_written_at(where, saf.follower, saf.leaders, log), message, hint, word=leader)
            else:
                log.warn(f"{names[saf.level]}: {saf.kind} of {saf.follower} on {leader}, of which no level has metadata")


def _warn_of_idle_computes(sparse: Sparse, einsum: Einsum, hierarchy: Hierarchy, log: ResolveLog) -> None:
    """A skip of a result saves its accesses; the computes go on unless an operand is skipped, too, or the compute level skips."""
    if sparse.compute_skip or not log.native:
        return
    sparse_operands = {t.name for t in einsum.tensors if not t.output and t.density.density < 1}
    skips = [saf for saf in sparse.safs if saf.saves_time]
    results = {t.name for t in einsum.tensors if t.output}
    decisive = {leader for saf in skips if saf.follower not in results for leader in saf.leaders}
    compute = hierarchy.stages[-1].name if hierarchy.stages else ""
    for saf in (saf for saf in skips if saf.follower in results):
        level = hierarchy.storage_names[saf.level]
        for leader in (name for name in saf.leaders if name in sparse_operands - decisive):
            log.warn(
                f"{level}: {saf.kind} of {saf.follower} on {leader} saves accesses of {saf.follower} only: "
                f"computes with zeros of {leader} still take their time (to skip them: {compute}: {{skip: true}})"
            )


def _warn_of_idle_partials(sparse: Sparse, keep: Kept, einsum: Einsum, hierarchy: Hierarchy, log: ResolveLog) -> None:
    """Partial sums are all words, or as many as are given, unless the result is stored compressed and made by its operands."""
    for level, mode in sparse.partials.items():
        for result in (t for t in einsum.tensors if t.output and mode != "whole"):
            form, reason = sparse.format(level, result.name), ""
            if keep is not None and result.name not in keep[level]:
                reason = f"it bypasses {result.name}"
            elif form is None or not form.compressed:
                reason = f"{result.name} is not stored compressed there"
            elif not result.density.produced:
                reason = f"the density of {result.name} is given" if log.spec.workload.density else f"{result.name} is dense"
            if reason:
                log.warn(f"{hierarchy.storage_names[level]}: partials: {mode} has no effect: {reason}")


def _written_at(path: Path, follower: str, leaders: Sequence[str], log: ResolveLog) -> Path:
    """Path of the element of a list that a feature was written in ('A <-> B' makes two of one)."""
    _, node, _ = log.source.walk(path)
    for i, item in enumerate(cast("list[object]", node.data) if isinstance(node.kids, list) else []):
        words = re.findall(r"\w+", item) if isinstance(item, str) else []
        short = set(words) == {follower, *leaders} and (words[0] == follower or "<->" in str(item))
        long = isinstance(item, dict) and cast("dict[str, object]", item).get("follower") == follower
        if short or long:
            return (*path, i)
    return path
