"""Names of a specification become records: einsum, machine, mapping, sparse features. All mistakes are found in one pass."""

from __future__ import annotations

from sparseloop.input.resolve.architecture import resolve_arch, resolve_chain
from sparseloop.input.resolve.constraints import check_constraints
from sparseloop.input.resolve.features import resolve_sparse, written_sparse
from sparseloop.input.resolve.findings import Findings
from sparseloop.input.resolve.mapping import covered, resolve_mapping, written
from sparseloop.input.resolve.workload import resolve_workload, touched
from sparseloop.input.spec import Spec
from sparseloop.input.yaml.files import SourceMap
from sparseloop.model.design import Design
from sparseloop.model.design.sparse import Sparse

__all__ = ["covered", "features_of", "resolve", "touched", "with_features", "written"]


def resolve(spec: Spec, source: SourceMap | None = None) -> Design:
    """What the model evaluates; raises `SpecError` with every mistake. `source` defaults to that of the spec."""
    found = Findings(spec, source or spec.source)
    einsum = resolve_workload(found)
    chain = resolve_chain(found)
    mapping = resolve_mapping(chain, einsum, found)
    sparse = resolve_sparse(chain, einsum, mapping.nest.keep if mapping else None, found)
    check_constraints(chain, einsum, found)
    arch = resolve_arch(chain, einsum, sparse, found)
    found.raise_errors()
    return Design(einsum=einsum, arch=arch, mapping=mapping, sparse=sparse, warnings=(*spec.notes, *found.warnings))


def features_of(spec: Spec) -> Sparse:
    """The sparse features of a specification as they stand, not checked against each other; raises `SpecError`."""
    found = Findings(spec, spec.source)
    einsum, chain = resolve_workload(found), resolve_chain(found)
    sparse = written_sparse(chain, einsum, found)
    found.raise_errors()
    return sparse


def with_features(spec: Spec, sparse: Sparse) -> Design:
    """A specification with other sparse features than it says, unchecked, at their prices."""
    found = Findings(spec, spec.source)
    einsum, chain = resolve_workload(found), resolve_chain(found)
    arch = resolve_arch(chain, einsum, sparse, found)
    found.raise_errors()
    return Design(einsum=einsum, arch=arch, mapping=None, sparse=sparse)
