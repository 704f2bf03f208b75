"""Waits of small machines by hand: loads before work, drains, skew; and what is wrong to ask for."""

from __future__ import annotations

import pytest

import sparseloop as sl

SPEC = """\
workload:
  einsum: Z[m,n] = A[m,k] * B[k,n]
  shape: {m: 16, n: 16, k: 16}
architecture:
  levels:
    - {name: DRAM, class: dram}
    - {name: GLB, class: sram, bandwidth: {read: 4, write: 16}}
    - {fanout: {x: 4, y: 4}}
    - {name: RF, class: regfile}
    - {name: MAC, class: mac}
mapping:
  - DRAM: ""
  - GLB: for m=4 k=4 n=16
  - par: x m=4, y k=4
  - RF: "| bypass B"
"""


def waits(*overrides: str, spec: str = SPEC) -> dict[str, float]:
    record = sl.evaluate(sl.loads(spec, overrides=list(overrides))).to_dict()
    return {" ".join([wait["kind"], *wait["tensors"]]): wait["cycles"] for wait in record["waits"]}


def test_a_tile_is_loaded_before_work_on_it() -> None:
    """16 tiles of A, 16 words each, over 4 words a cycle: 64 cycles without a compute beside the 256 of the computes."""
    assert waits("architecture.levels.RF.overlap={A: none}") == {"load A": 64}
    result = sl.evaluate(sl.loads(SPEC, overrides=["architecture.levels.RF.overlap={A: none}"]))
    assert result.cost.levels[-1].cycles == 256 + 64
    assert result.cycles == result.cost.levels[1].cycles == (256 + 1024) / 4 + 768 / 4  # B (1024) and Z (768) are read beside


def test_what_arrives_together_is_one_load() -> None:
    """Z moves in every step: 48 reads of 4 words after its first touch, 64 updates of 4 words; A's tile comes with 16 of them."""
    assert waits("architecture.levels.RF.overlap={A: none, Z: none}") == {
        "load A Z": 256 / 4 + 768 / 4,
        "drain Z": 1024 / 16,
    }


def test_roles_stand_for_tensors() -> None:
    assert waits("architecture.levels.RF.overlap={inputs: none, weights: double}") == {"load A": 64}


def test_a_systolic_array_is_filled_in_every_pass() -> None:
    """A stays for 16 steps, 16 times: 3 + 3 cycles each."""
    spec = SPEC.replace("bypass B", "keep A")
    assert waits("architecture.levels.GLB.network={fill: systolic}", spec=spec) == {"skew": 16 * 6}
    assert waits("architecture.levels.GLB.network={fill: 14}", spec=spec) == {"skew": 16 * 14}


def test_waves_of_positions_fill_the_array_again() -> None:
    """Half of 32 positions on 4 instances: 4 waves, each loaded (16 words in all), filled and run over 16 steps."""
    spec = SPEC.replace("fanout: {x: 4, y: 4}", "fanout: {x: 4}").replace("bypass B", "keep A")
    spec = (
        spec.replace("x m=4, y k=4", "x m=4 k=8")
        .replace("m=4 k=4 n=16", "m=4 k=2 n=16")
        .replace("shape: {m: 16, n: 16, k: 16}", "shape: {m: 16, n: 16, k: 16}\n  density: {A: '4:8 k'}")
    )
    spec += "sparse: {GLB: {formats: {A: 'B(*;0,0)'}, spatial_skip: [B <- A, Z <- A]}, DRAM: {formats: {A: 'B(*;0,0)'}}}\n"
    found = waits("architecture.levels.RF.overlap={A: none}", "architecture.levels.GLB.network={fill: 5}", spec=spec)
    assert found == {"load A": pytest.approx(8 * 16 / 4), "skew": pytest.approx(8 * 4 * 5)}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("architecture.levels.RF.overlap={Q: none}", "unknown tensor 'Q'"),
        ("architecture.levels.RF.overlap={A: half}", "expected 'double' or 'none'"),
        ("architecture.levels.DRAM.overlap={A: none}", "nothing is loaded into the outermost level"),
        ("architecture.levels.MAC.overlap={A: none}", "the compute level holds no tiles"),
        ("architecture.levels.GLB.network={fill: tree}", "expected 'systolic' or a number of cycles"),
    ],
)
def test_mistakes(override: str, message: str) -> None:
    with pytest.raises(sl.SpecError, match=message):
        sl.evaluate(sl.loads(SPEC, overrides=[override]))
