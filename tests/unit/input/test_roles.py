"""Constraints and sparse features in roles, and what a layer says of its own."""

from __future__ import annotations

import pytest

from sparseloop.evaluation.evaluate import design_of
from sparseloop.input.diagnostics import SpecError
from sparseloop.input.load import dumps, loads
from sparseloop.input.roles import roles_of
from sparseloop.input.spec import Spec

MACHINE = """
architecture:
  levels:
    - {name: DRAM, class: dram}
    - {name: GLB, class: sram, capacity: 1000 words}
    - {name: array, fanout: {x: 4, y: 2}}
    - {name: MAC, class: mac}
constraints:
  GLB: {keep: [inputs, outputs], bypass: [weights], max: {r: 3, m: 4}, order: "g n ... c m"}
sparse:
  DRAM: {formats: {weights: csr, inputs: bitmask}}
  GLB: {skip: [outputs <- inputs & weights]}
"""
CONV = "{name: conv, einsum: 'O[n,m,p] = I[n,c,p+r] * W[m,c,r]', shape: {n: 1, m: 8, c: 4, p: 6, r: 3}}"
PRODUCT = "{name: product, einsum: 'Z[m,n] = A[m,k] * B[k,n]', shape: {m: 8, n: 8, k: 8}, roles: {weights: A, inputs: B}}"


def layers(text: str) -> list[Spec]:
    return list(loads(MACHINE + text).per_layer())


def test_operands_are_inputs_and_weights_unless_named() -> None:
    assert roles_of("Z[m,n] = A[m,k] * B[k,n]", {}) == {"outputs": "Z", "inputs": "A", "weights": "B"}
    assert roles_of("Z[m,n] = A[m,k] * B[k,n]", {"weights": "A"}) == {"outputs": "Z", "inputs": "B", "weights": "A"}
    assert roles_of("Z[m] = A[m]", {}) == {"outputs": "Z", "inputs": "A"}
    assert roles_of("Z[m] = weights[m] * B[m]", {})["weights"] == "weights"


def test_every_layer_has_its_own_tensors_in_the_roles() -> None:
    conv, product = layers(f"layers: [{CONV}, {PRODUCT}]")
    assert (conv.constraints["GLB"].keep, conv.constraints["GLB"].bypass) == (("I", "O"), ("W",))
    assert (product.constraints["GLB"].keep, product.constraints["GLB"].bypass) == (("B", "Z"), ("A",))
    assert set(conv.sparse["DRAM"].formats) == {"W", "I"}
    saf = product.sparse["GLB"].skip[0]  # pyright: ignore
    assert (saf.follower, saf.leaders) == ("Z", ("B", "A"))


def test_a_single_workload_has_them_as_well() -> None:
    spec = loads(MACHINE + f"workload: {CONV}")
    assert spec.constraints["GLB"].bypass == ("W",)
    assert loads(dumps(spec)) == spec
    rebuilt = Spec(
        workload=spec.workload, architecture=spec.architecture, constraints=loads(MACHINE + f"layers: [{CONV}]").constraints
    )
    assert rebuilt.constraints["GLB"].bypass == ("W",)


def test_a_rank_that_a_layer_lacks_is_ignored() -> None:
    for layer in layers(f"layers: [{CONV}, {PRODUCT}]"):
        design_of(layer.model_copy(update={"sparse": {}}))
    wrong = MACHINE.replace("r: 3", "rr: 3") + f"layers: [{PRODUCT}]"
    with pytest.raises(SpecError, match="unknown rank 'rr'"):
        design_of(next(iter(loads(wrong).per_layer())).model_copy(update={"sparse": {}}))


def test_a_role_that_no_tensor_has_is_left_out() -> None:
    (copy,) = layers("layers: [{name: copy, einsum: 'O[m] = I[m]', shape: {m: 8}}]")
    assert copy.constraints["GLB"].bypass == ()
    assert set(copy.sparse["DRAM"].formats) == {"I"}
    assert copy.sparse["GLB"].skip == ()


def test_a_role_names_a_tensor() -> None:
    with pytest.raises(SpecError, match="unknown tensor 'C'"):
        design_of(loads(MACHINE + f"workload: {PRODUCT.replace('weights: A', 'weights: C')}"))


def test_what_a_layer_says_of_its_own() -> None:
    own = CONV.replace(
        "name: conv", "times: 3, sparse: {GLB: {}}, constraints: {GLB: {max: {m: 1}}}, mapping: {GLB: for m=8}, name: own"
    )
    shared, alone = layers(f"mapping: {{DRAM: for m=2}}\nlayers: [{CONV}, {own}]")
    assert [entry.target for entry in shared.mapping] == ["DRAM"]
    assert [entry.target for entry in alone.mapping] == ["GLB"]
    assert alone.constraints["GLB"].max == {"m": 1}
    assert alone.constraints["GLB"].keep is None
    assert not alone.sparse["GLB"].skip
    assert set(alone.sparse["DRAM"].formats) == {"W", "I"}
    assert (shared.workload.times, alone.workload.times) == (1, 3)
    whole = loads(MACHINE + f"layers: [{CONV}, {own}]")
    assert loads(dumps(whole)) == whole
