"""The Python face: lazy names, cached designs, what `evaluate` accepts."""

from __future__ import annotations

import subprocess
import sys

import pytest

import sparseloop as sl
from sparseloop.evaluation import evaluate as api
from tests.helpers import studies
from tests.helpers.samples import DENSE, MATMUL


def test_public_names():
    assert set(sl.__all__) <= set(dir(sl))
    assert all(getattr(sl, name) is not None for name in sl.__all__)
    with pytest.raises(AttributeError, match="no attribute 'evalute'"):
        sl.evalute  # noqa: B018


def imported(code: str) -> set[str]:
    """Modules loaded by a program."""
    program = f"import sys; {code}; print(' '.join(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split())


def test_import_is_light():
    loaded = imported("import sparseloop")
    assert not loaded & {"numpy", "pydantic", "ruamel.yaml", "rich", "typer", "typing", "sparseloop.input.spec"}


def test_evaluating_needs_no_edges():
    loaded = imported(f"import sparseloop as sl; sl.evaluate(sl.loads({MATMUL!r})).to_dict()")
    assert not loaded & {
        "rich",
        "typer",
        "matplotlib",
        "scipy",
        "sparseloop.report.tables",
        "sparseloop.evaluation.tracing",
        "sparseloop.evaluation.long_form",
    }


@pytest.mark.parametrize("taken", [sl.evaluate, sl.mapspace, sl.search, sl.design_of])
def test_several_layers_are_refused_where_one_is_taken(taken):
    layers = sl.loads(MATMUL + "layers: [{name: a, shape: {m: 2}}, {name: b}]\n")
    with pytest.raises(sl.SpecError, match=r"2 layers.*takes one(.|\n)*map_network"):
        taken(layers)
    assert sl.evaluate(sl.loads(MATMUL + "layers: [{name: only}]\n")).valid


def test_designs_are_resolved_once():
    spec = sl.loads(MATMUL)
    assert sl.design_of(spec) is sl.design_of(spec)
    assert sl.evaluate(spec).plan is sl.evaluate(spec).plan
    assert sl.design_of(sl.loads(MATMUL)) is not sl.design_of(spec)


def test_a_mapping_given():
    spec = sl.loads(MATMUL)
    mapping = sl.design_of(spec).mapping
    assert sl.evaluate(spec, mapping).to_dict() == sl.evaluate(spec).to_dict()
    changed = MATMUL.replace("- DRAM: for m=4", "- DRAM: for m=2").replace("RF: for m=2", "RF: for m=4")
    other = sl.design_of(sl.loads(changed)).mapping
    assert sl.evaluate(spec, other).energy_pj != sl.evaluate(spec).energy_pj


def test_what_cannot_be_evaluated():
    spec = sl.loads(DENSE.partition("mapping:")[0])
    with pytest.raises(sl.SpecError, match="no mapping to evaluate"):
        sl.evaluate(spec)
    with pytest.raises(sl.SpecError, match="mapping: error: expected a Mapping or a MappingBatch or a Sample or None, got 3"):
        sl.evaluate(sl.loads(MATMUL), 3)  # pyright: ignore
    with pytest.raises(sl.SpecError, match="keep is for a batch"):
        sl.evaluate(sl.loads(MATMUL), keep=("cycles",))


def test_a_mapping_of_another_specification_is_refused() -> None:
    spec = sl.loads(MATMUL)
    flat = DENSE.replace("    - {name: DRAM, class: dram, type: LPDDR4, bandwidth: 16}\n", "").replace("  - DRAM: for m=4\n", "")
    for other, told in (
        (flat.replace("m: 64", "m: 16"), "it has 2 storage levels, the machine 3"),
        (MATMUL.replace("n: 64, k: 64", "n: 64, k: 128").replace("k=8", "k=16", 1), "its loops over k make 128, the size is 64"),
    ):
        with pytest.raises(sl.SpecError, match=told):
            sl.evaluate(spec, sl.design_of(sl.loads(other)).mapping)


def test_a_path_is_not_a_specification() -> None:
    with pytest.raises(sl.SpecError, match=r"sparseloop\.load"):
        sl.evaluate("spec.yaml")  # type: ignore[arg-type]


SIMILAR = [
    "architecture.levels.GLB.capacity=128",
    "architecture.levels.GLB.min_utilization=0.5",
    "architecture.levels.GLB.bandwidth=3",
    "architecture.levels.DRAM.bandwidth={read: 1, write: 2}",
    "architecture.levels.GLB.metadata=16 words",
    "architecture.levels.GLB.energy={read: 7, write: 9, leak: 1}",
    "architecture.levels.GLB.area=5",
    "architecture.levels.DRAM.network={energy_per_hop: 3, router: 1, ingress: 2, adder: 4, fill_latency: 7}",
    "architecture.node=22nm",
    "architecture.clock=2 GHz",
]
DIFFERENT = [
    "workload.density.A=0.7",
    "workload.word_bits=8",
    "architecture.levels.GLB.word_bits=32",
    "architecture.levels.GLB.block_size=4",
    "architecture.levels.GLB.metadata={word_bits: 3}",
    "architecture.levels.GLB.capacity_rule=expected",
    "architecture.levels.DRAM.network={forwarding: true}",
    "sparse.GLB.gate=[B <- A]",
    "sparse.DRAM.formats.A=bitmask",
    "sparse.MAC.gate=true",
    "mapping.GLB=for m=4 k=8 n=4",
]


@pytest.mark.parametrize("change", [*SIMILAR, *DIFFERENT])
def test_similar_designs_share_counts_and_nothing_else(change: str) -> None:
    """Whatever was evaluated before, a design gives the numbers that it gives alone."""
    api._cached_totals.cache_clear()  # pyright: ignore[reportPrivateUsage]
    for overrides in ([], [change], []):
        design = sl.design_of(sl.loads(studies.SPEC, overrides=overrides))
        mapping = api.own_mapping(design)
        alone, shared = api.evaluate_mapping(design, mapping), api.evaluate_sharing_counts(design, mapping)
        assert shared.to_dict() == alone.to_dict()
        assert shared.reasons == alone.reasons
    assert api._cached_totals.cache_info().misses == (1 if change in SIMILAR else 2)  # pyright: ignore[reportPrivateUsage]


def test_the_room_of_overbooked_tiles_is_no_matter_of_price() -> None:
    """Words that do not fit are streamed, so that counts depend on the capacity where a quantile of the tiles must fit."""
    found = list[float]()
    for words in (30, 40):
        text = studies.SPEC.replace("capacity: 256", f"capacity: {words}, capacity_rule: 0.9")
        design = sl.design_of(sl.loads(text))
        assert isinstance(design.arch.levels[1].capacity_rule, float)
        mapping = api.own_mapping(design)
        found.append(api.evaluate_sharing_counts(design, mapping).energy_pj)
        assert found[-1] == api.evaluate_mapping(design, mapping).energy_pj
    assert found[0] > found[1]


def test_alternatives_are_chosen_by_price_for_every_design() -> None:
    text = studies.SPEC.replace("skip: [B <- A, Z <- A]", "skip: {options: [B <- A, A <- B]}").replace(
        "formats: {A: csr}", "formats: {A: csr, B: csr}"
    )
    for price in (5, 50):
        design = sl.design_of(sl.loads(text, overrides=[f"architecture.levels.GLB.energy={{read: {price}, write: 5}}"]))
        assert any(saf.choice is not None for saf in design.sparse.safs)
        mapping = api.own_mapping(design)
        assert api.evaluate_sharing_counts(design, mapping).to_dict() == api.evaluate_mapping(design, mapping).to_dict()
