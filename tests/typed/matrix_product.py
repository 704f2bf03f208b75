"""A design written with the typed records: pyright checks it strictly (see pyproject.toml), and a test evaluates it."""

from __future__ import annotations

from dataclasses import replace

import sparseloop as sl

PRODUCT = sl.Workload(
    "Z[m,n] = A[m,k] * B[k,n]",
    {"m": 64, "n": 64, "k": 64},
    density={"A": 0.25, "B": sl.DensitySpec(model="structured", n=2, m=4, rank="k")},
    word_bits={"A": 8, "B": 8, "Z": 24},
    name="product",
)
MACHINE = sl.Architecture(
    [
        sl.Storage("DRAM", "dram", type="LPDDR4", bandwidth=16),
        sl.Storage(
            "GLB",
            capacity="16 KiB",
            bandwidth={"read": 16, "write": "16 words/cycle"},
            metadata=sl.MetadataSpec(word_bits=4),
            network=sl.NetworkSpec(energy_per_hop=0.1),
        ),
        sl.Fanout(x=8, y=8, packing="waves"),
        sl.Storage("RF", "regfile", capacity=64, energy={"read": 0.2}, attributes={"ports": 2}),
        sl.Compute("MAC", energy={"compute": "1.5 pJ"}),
    ],
    node="45nm",
    clock="1 GHz",
)
NEST = (
    sl.Loops("DRAM", {"m": 4}),
    sl.Loops("GLB", "for n=8 k=8"),
    sl.Loops("par", x={"n": 8}, y={"m": 8}),
    sl.Loops("RF", {"m": 2, "k": 8}, no_multicast=["A"]),
)
SPARSE = {
    "DRAM": sl.Features(formats={"A": "csr", "B": [sl.RankFormatSpec(kind="UOP"), "CP(5)"]}),
    "GLB": sl.Features(formats={"A": "csr"}, skip=["B <- A"], intersection="leader_follower"),
    "RF": sl.Features(gate=[sl.SafSpec(follower="Z", leaders=("A", "B"))]),
    "MAC": sl.Features(gate=True),
}


def spec() -> sl.Spec:
    """The design as a specification."""
    constraints = {"RF": sl.ConstraintSpec(keep=("A",), max={"m": 16})}
    return sl.build(PRODUCT, MACHINE, NEST, sparse=SPARSE, constraints=constraints)


def network() -> sl.Spec:
    """Two layers on the same machine."""
    second = replace(PRODUCT, name="second", shape={"m": 32, "n": 64, "k": 64}, times=3, mapping=[sl.Loops("DRAM", {"m": 32})])
    return sl.build([PRODUCT, second], MACHINE)
