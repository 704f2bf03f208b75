"""AccelForge's architectures and workloads: what is taken over, what is listed, and how other dialects are recognised."""

from __future__ import annotations

from pathlib import Path

import pytest

import sparseloop as sl
from sparseloop.input.diagnostics import SpecError

ARCH = """
arch:
  extra_attributes_for_all_component_models: {tech_node: 65e-9}
  nodes:
  - !Memory
    name: Main
    component_class: lpddr4
    size: inf
    leak_power: 0
    tensors: {keep: ~Intermediates, may_keep: All}
    actions:
    - {name: read, energy: 8e-12, latency: 1 / (8 * 16e9)}
    - {name: write, energy: 4e-12, throughput: 64e9}
  - !Memory
    name: Shared
    size: 64 * 1024 * 8
    tensors: {keep: ~Main, may_keep: All}
    actions:
    - {name: read, energy: 16e-12, bits_per_action: 64}
    - {name: write, energy: 32e-12, bits_per_action: 64}
  - !Toll {name: Link}
  - !Container
    name: Grid
    spatial:
    - {name: rows, fanout: 8, may_reuse: input, min_usage: 1}
    - {name: cols, fanout: 4}
  - !Memory
    name: Reg
    component_class: Dummy
    size: weight.bits_per_value if weight else 0
    tensors: {keep: weight}
  - !Compute {name: Adder, enabled: len(All) == 2}
  - !Compute
    name: Mac
    enabled: len(All) == 3
    actions: [{name: compute, energy: 1e-12, latency: 2e-9}]
"""
WORKLOAD = """
workload:
  rank_sizes: {M: 16, K: 8, N: 32, P: 4}
  bits_per_value: {All: 8}
  einsums:
  - "T[m, n] = X[m, k] * W1[k, n]"
  - einsum: "Y[m, p] = T[m, N: n] * W2(weight)[n, p]"
"""


def mistakes(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        sl.loads(text)
    return str(caught.value)


class TestArchitecture:
    @pytest.fixture
    def spec(self) -> sl.Spec:
        return sl.loads(ARCH + WORKLOAD)

    @pytest.fixture
    def arch(self, spec: sl.Spec):
        return sl.design_of(next(iter(spec.per_layer()))).arch

    def test_levels_and_copies(self, arch) -> None:
        assert [(level.name, level.kind, level.instances) for level in arch.levels] == [
            ("Main", "storage", 1),
            ("Shared", "storage", 1),
            ("Reg", "storage", 32),
            ("Mac", "compute", 32),
        ]
        assert arch.fanout(1) == (8, 4)

    def test_sizes_are_bits_and_energies_joules_per_action(self, arch) -> None:
        main, shared, reg, mac = arch.levels
        assert (main.capacity_words, shared.capacity_words, reg.capacity_words) == (None, 65536, 1)
        assert (main.prices["read"].energy_pj, main.prices["fill"].energy_pj) == (64.0, 32.0)  # 8 bits at 8 and 4 pJ
        assert (shared.prices["read"].energy_pj, shared.prices["update"].energy_pj) == (2.0, 4.0)  # 8 of 64 bits
        assert reg.prices["read"].energy_pj == 0
        assert mac.prices["compute"].energy_pj == 1

    def test_rates_in_cycles_of_the_compute_unit(self, arch) -> None:
        assert arch.clock_hz == 5e8
        assert arch.levels[0].read_bandwidth == 8 * 16e9 / 5e8 / 8
        assert arch.levels[0].write_bandwidth == 64e9 / 5e8 / 8

    def test_what_is_kept(self, spec: sl.Spec) -> None:
        first, second = spec.per_layer()
        assert (first.constraints["Reg"].keep, first.constraints["Reg"].bypass) == (("W1",), ("T", "X"))
        assert (second.constraints["Reg"].keep, second.constraints["Reg"].bypass) == (("W2",), ("T", "Y"))

    def test_what_has_no_counterpart_is_listed(self, spec: sl.Spec) -> None:
        notes = "\n".join(spec.notes)
        for part in ("'may_reuse' has no counterpart", "'min_usage' has no counterpart", "'Link' (!Toll) has no counterpart"):
            assert part in notes
        assert "Adder" not in notes

    def test_it_is_the_same_in_the_native_form(self, spec: sl.Spec) -> None:
        assert sl.loads(sl.dumps(spec)) == spec


class TestWorkload:
    def shapes(self, einsums: str, more: str = "") -> list[tuple[str, dict[str, int]]]:
        arch = ARCH.replace("len(All) == 3", "true").replace("len(All) == 2", "false")
        text = f"{arch}workload:\n  rank_sizes: {{M: 4, N: 6, P0: 28}}\n{more}  einsums:\n{einsums}"
        return [(layer.workload.einsum, dict(layer.workload.shape)) for layer in sl.loads(text).per_layer()]

    def test_accesses_in_lists_with_expressions(self) -> None:
        einsum = """  - name: Depthwise
    tensor_accesses:
    - {name: I, projection: {P0: p1 + r0, N: n}}
    - {name: W, projection: [r0, n]}
    - {name: O, projection: [p1, n], output: True}
    iteration_space_shape: [0 <= r0 < 3, 0 <= p1 < 26]
"""
        assert self.shapes(einsum) == [("O[p1, n] = I[p1 + r0, n] * W[r0, n]", {"p1": 26, "r0": 3, "n": 6})]

    def test_ranges_of_the_whole_workload(self) -> None:
        more = "  iteration_space_shape: {k: 0 <= k < 9}\n"
        assert self.shapes("  - Z[m, n] = A[m, k] * B[k, n]\n", more)[0][1] == {"m": 4, "n": 6, "k": 9}

    def test_copies_and_functions_are_einsums_of_one_operand(self) -> None:
        found = self.shapes('  - {einsum: "J[m, n] = copy(I_in(input)[m, n])"}\n')
        assert found == [("J[m, n] = I_in[m, n]", {"m": 4, "n": 6})]

    @pytest.mark.parametrize(
        ("einsum", "message"),
        [
            ("Z[m, q] = A[m, k] * B[k, q]", "nothing says how large 'q' is"),
            ("Z[m = A[m]", "cannot read the einsum"),
            ("Z[m] = A[m] * A[m]", "uses a tensor twice"),
        ],
    )
    def test_mistakes_have_lines(self, einsum: str, message: str) -> None:
        text = f"{ARCH}workload:\n  rank_sizes: {{M: 4, N: 6}}\n  einsums:\n  - '{einsum}'\n"
        assert message in mistakes(text)


class TestRecognition:
    def test_one_half_names_the_other(self) -> None:
        assert "AccelForge's architecture needs its workload" in mistakes(ARCH)
        assert "AccelForge's workload needs an architecture" in mistakes(WORKLOAD)

    def test_nodes_that_are_no_chain(self) -> None:
        text = ARCH.replace("- !Toll {name: Link}", "- !Fork {name: Sides, nodes: []}") + WORKLOAD
        assert "a node !Fork is not modelled: the machine is a chain of levels" in mistakes(text)

    @pytest.mark.parametrize("text", ["mapping:\n  type: fused\n  nodes: []\n", "problem:\n- {shape: {name: a}}\n"])
    def test_looptree_is_named(self, text: str) -> None:
        assert "is in LoopTree's form (fused layers), which is not read" in mistakes(text)

    def test_plain_files_may_be_templates(self, tmp_path: Path) -> None:
        pytest.importorskip("jinja2")
        file = tmp_path / "work.yaml"
        file.write_text("{% set TOKENS = TOKENS | default(16) %}" + WORKLOAD.replace("M: 16", "M: {{TOKENS}}"))
        (tmp_path / "arch.yaml").write_text(ARCH)
        sizes = [
            sl.load(file, tmp_path / "arch.yaml", overrides=given).workload.shape["m"] for given in ((), ("jinja.TOKENS=32",))
        ]
        assert sizes == [16, 32]
