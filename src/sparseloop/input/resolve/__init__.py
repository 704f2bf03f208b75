"""Turns a specification into a `Design`: names become indices, sizes become words, and all mistakes are found in one pass."""

from __future__ import annotations

from sparseloop.input.resolve.architecture import resolve_arch, resolve_hierarchy
from sparseloop.input.resolve.constraints import check_constraints
from sparseloop.input.resolve.densities import true_words
from sparseloop.input.resolve.features import resolve_sparse, written_sparse
from sparseloop.input.resolve.log import ResolveLog
from sparseloop.input.resolve.mapping import mapping_lines, resolve_mapping, visited_points
from sparseloop.input.resolve.workload import resolve_workload
from sparseloop.input.spec import Spec
from sparseloop.input.yaml.files import SourceMap
from sparseloop.model.design import Design
from sparseloop.model.design.sparse import Sparse

__all__ = ["features_of", "mapping_lines", "resolve", "true_words", "visited_points", "with_features"]


def resolve(spec: Spec, source: SourceMap | None = None) -> Design:
    """The design that the model evaluates; raises `SpecError` with every mistake. `source` defaults to that of the spec."""
    log = ResolveLog(spec, source or spec.source)
    einsum = resolve_workload(log)
    hierarchy = resolve_hierarchy(log)
    mapping = resolve_mapping(hierarchy, einsum, log)
    sparse = resolve_sparse(hierarchy, einsum, mapping.nest.keep if mapping else None, log)
    check_constraints(hierarchy, einsum, log)
    arch = resolve_arch(hierarchy, einsum, sparse, log)
    log.raise_errors()
    return Design(einsum=einsum, arch=arch, mapping=mapping, sparse=sparse, warnings=(*spec.notes, *log.warnings))


def features_of(spec: Spec) -> Sparse:
    """The sparse features of a specification as written, not checked against each other; raises `SpecError`."""
    log = ResolveLog(spec, spec.source)
    einsum, hierarchy = resolve_workload(log), resolve_hierarchy(log)
    sparse = written_sparse(hierarchy, einsum, log)
    log.raise_errors()
    return sparse


def with_features(spec: Spec, sparse: Sparse) -> Design:
    """The design of a specification with other sparse features, not checked, with the prices of their units."""
    log = ResolveLog(spec, spec.source)
    moved = any(mode != "whole" for mode in sparse.partials.values())
    einsum, hierarchy = resolve_workload(log, moved=moved), resolve_hierarchy(log)
    arch = resolve_arch(hierarchy, einsum, sparse, log)
    log.raise_errors()
    return Design(einsum=einsum, arch=arch, mapping=None, sparse=sparse)
