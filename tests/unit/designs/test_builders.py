"""Specifications written in Python say what their files say."""

from __future__ import annotations

import doctest

import pytest

import sparseloop as sl
from sparseloop.designs import builders
from tests.helpers.samples import MATMUL
from tests.typed import matrix_product

PRODUCT = sl.Workload("Z[m,n] = A[m,k] * B[k,n]", {"m": 64, "n": 64, "k": 64}, density={"A": 0.25, "B": 0.5})
MACHINE = sl.Architecture(
    [
        sl.Storage("DRAM", "dram", type="LPDDR4", bandwidth=16),
        sl.Storage("GLB", "sram", capacity="16 KiB", bandwidth={"read": 16, "write": 16}, metadata="8 KiB"),
        sl.Fanout(8, 8),
        sl.Storage("RF", "regfile", capacity="64 words", bandwidth=2),
        sl.Compute("MAC"),
    ],
    node="45nm",
)
NEST = [
    sl.Loops("DRAM", {"m": 4}),
    sl.Loops("GLB", {"n": 8, "k": 8}),
    sl.Loops("par", x={"n": 8}, y={"m": 8}),
    sl.Loops("RF", {"m": 2, "k": 8}),
]
SPARSE = {
    "DRAM": sl.Features(formats={"A": "csr", "B": "csr"}),
    "GLB": sl.Features(formats={"A": "csr", "B": "csr"}, skip=["B <- A"]),
    "RF": sl.Features(formats={"A": "csr"}, skip=["B <- A"], gate=["Z <- A & B"]),
    "MAC": sl.Features(gate=True),
}


def test_a_design_in_python_is_that_of_its_file():
    assert sl.build(PRODUCT, MACHINE, NEST, sparse=SPARSE) == sl.loads(MATMUL)


def test_it_is_written_as_a_file_and_read_again():
    spec = matrix_product.spec()
    assert sl.loads(sl.dumps(spec)) == spec
    assert sl.evaluate(spec).energy_pj > 0


def test_several_workloads_are_layers():
    spec = matrix_product.network()
    assert [layer.workload.name for layer in spec.per_layer()] == ["product", "second"]
    assert [layer.workload.shape["m"] for layer in spec.per_layer()] == [64, 32]


def test_mistakes_have_the_path_of_their_key():
    wrong = sl.Architecture([sl.Storage("GLB", capacity="64 Kx"), sl.Compute("MAC", energy={"compute": -1})])
    with pytest.raises(sl.SpecError) as found:
        sl.build(sl.Workload("Z[m] = A[m]", {"m": 0}), wrong, [sl.Loops("GLB", {"m": 0})])
    paths = [".".join(map(str, diagnostic.path)) for diagnostic in found.value.diagnostics]
    assert {
        "workload.shape.m",
        "architecture.levels.0.capacity",
        "architecture.levels.1.energy.compute",
        "mapping.0.GLB.loops",
    } == set(paths)


def test_the_examples_of_the_docstrings_run():
    assert doctest.testmod(builders).attempted >= 8
    assert doctest.testmod(builders).failed == 0
