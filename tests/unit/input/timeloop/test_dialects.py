"""What files of the field write beside the manuals: truth words, repetition, lists of maps, conditions, deep merges."""

from __future__ import annotations

import pytest

import sparseloop as sl
from sparseloop.input.diagnostics import SpecError

V3 = """
architecture:
  version: 0.3
  subtree:
  - name: chip
    local:
    - {name: Far, class: DRAM, attributes: {word-bits: 8}}
    - {name: Near, class: SRAM, attributes: {depth: 64, width: 8, word-bits: 8}}
    - {name: Unit, class: intmac, attributes: {datawidth: 8}}
problem:
  shape: gemm-ABZ
  instance: {M: 4, N: 4, K: 4}
mapping:
- {target: Far, type: temporal, factors: M=1 N=1 K=1}
- {target: Near, type: temporal, factors: M=4 N=4 K=4}
"""

V4 = """
variables: {version: 0.4, SIGNED: 1, KIND: wide, ROWS: 4}
architecture:
  version: 0.4
  nodes:
  - !Component {name: Far, class: DRAM, attributes: {width: 64, datawidth: 8}}
  - !Component
    name: Near
    class: SRAM
    attributes: {width: 64, depth: 64, datawidth: 8}
  - !Container {name: Row, spatial: {meshX: 4}}
  - !Component {name: Unit, class: intmac, attributes: {datawidth: 8}}
problem:
  shape: gemm-ABZ
  instance: {M: 4, N: 4, K: 4}
mapping:
- {target: Far, type: temporal, factors: [M=1, N=1, K=1]}
- {target: Near, type: temporal, factors: [M=4, N=4, K=1]}
- {target: Row, type: spatial, factors: [M=1, N=1, K=4]}
"""

NEAR = """!Component
    name: Near
    class: SRAM
    attributes: {width: 64, depth: 64, datawidth: 8}"""


def level(text: str, name: str):
    """The storage level of that name."""
    arch = sl.design_of(sl.loads(text)).arch
    return next(level for level in arch.levels if level.name == name)


def mistakes(*texts: str, tmp_path) -> str:
    """What is wrong with files of these texts together."""
    files = []
    for i, text in enumerate(texts):
        files.append(tmp_path / f"part{i}.yaml")
        files[-1].write_text(text)
    with pytest.raises(SpecError) as caught:
        sl.load(*files)
    return str(caught.value)


@pytest.mark.parametrize(
    ("word", "meant"),
    [("yes", True), ("On", True), ("Y", True), ("TRUE", True), ("no", False), ("OFF", False), ("n", False), ("False", False)],
)
def test_words_of_yaml_1_1_are_truth_values_where_one_stands(word: str, meant: bool):
    text = V3.replace("word-bits: 8}}\n    - {name: Unit", f"word-bits: 8, reduction_supported: {word}}}}}\n    - {{name: Unit")
    assert level(text, "Near").reduction is meant


def test_the_same_words_stay_names_where_a_name_stands():
    text = (
        V3.replace(
            "shape: gemm-ABZ\n  instance: {M: 4, N: 4, K: 4}",
            """shape:
    name: p
    dimensions: [N, Y]
    data-spaces:
    - {name: A, projection: [[[N]], [[Y]]]}
    - {name: on, projection: [[[N]]], read-write: Yes}
  instance: {N: 4, Y: 3}""",
        )
        .replace("M=1 N=1 K=1", "N=1 Y=1")
        .replace("M=4 N=4 K=4", "N=4 Y=3")
    )
    result = sl.evaluate(sl.loads(text))
    assert float(result.cost.sparse.computes.total) == 12
    assert result.plan.einsum.tensor("on").output


class TestRepetition:
    def test_equal_keys_are_one(self):
        text = V3.replace("{M: 4, N: 4, K: 4}", "{M: 4, N: 4, M: 4, K: 4}")
        assert sl.evaluate(sl.loads(text)).to_dict() == sl.evaluate(sl.loads(V3)).to_dict()

    def test_different_values_are_a_mistake(self, tmp_path):
        text = V3.replace("{M: 4, N: 4, K: 4}", "{M: 4, N: 4, M: 5, K: 4}")
        assert "'M' is defined twice" in mistakes(text, tmp_path=tmp_path)

    def test_one_and_true_are_different(self, tmp_path):
        assert "defined twice" in mistakes(V3 + "model: {verbose: 1, verbose: true}\n", tmp_path=tmp_path)

    def test_equal_sections_of_two_files_are_one(self, tmp_path):
        (tmp_path / "a.yaml").write_text("model: {verbose: true}\n")
        (tmp_path / "b.yaml").write_text("model: {verbose: true}\n")
        (tmp_path / "c.yaml").write_text(V3)
        assert sl.load(tmp_path / "a.yaml", tmp_path / "b.yaml", tmp_path / "c.yaml").workload.shape == {"M": 4, "N": 4, "K": 4}
        assert "'model' is defined twice" in mistakes(V3, "model: {a: 1}\n", "model: {a: 2}\n", tmp_path=tmp_path)

    def test_equal_constraints_are_one(self, tmp_path):
        same = "- {target: Near, type: temporal, factors: K=4}\n"
        text = f"{V3}mapspace_constraints:\n{same}{same}"
        assert sl.loads(text).constraints["Near"].factors == {"K": 4}
        assert "twice, differently: factors of K" in mistakes(text.replace(same, same.replace("4", "2"), 1), tmp_path=tmp_path)

    def test_equal_classes_are_one(self, tmp_path):
        one = """compound_components:
  version: 0.3
  classes:
  - name: scratch
    attributes: {width: must_specify, depth: must_specify}
    subcomponents: [{name: cells, class: SRAM, attributes: {width: width, depth: depth}}]
    actions: [{name: read, subcomponents: [{name: cells, actions: [{name: read}]}]}]
"""
        machine = V3.replace("class: SRAM", "class: SRAM, subclass: scratch")
        files = [tmp_path / name for name in ("machine.yaml", "one.yaml", "again.yaml")]
        for file, text in zip(files, (machine, one, one), strict=True):
            file.write_text(text)
        assert sl.load(*files)
        other = one.replace("class: SRAM", "class: regfile")
        assert "class 'scratch' is defined twice, differently" in mistakes(machine, one, other, tmp_path=tmp_path)


class TestListsOfMaps:
    def test_variables_are_merged_and_later_items_win(self):
        text = V4.replace("{version: 0.4, SIGNED: 1, KIND: wide, ROWS: 4}", "\n- {version: 0.4, W: 4}\n- {W: 8, D: 32}")
        near = level(text.replace("datawidth: 8", "datawidth: W").replace("depth: 64", "depth: D"), "Near")
        assert (near.word_bits, near.capacity_words) == (8, 32 * 8)

    def test_attributes_are_merged(self):
        text = V4.replace("{width: 64, depth: 64, datawidth: 8}", "[{width: 64, depth: 1}, {depth: 64, datawidth: 8}]")
        assert level(text, "Near").capacity_words == 64 * 8

    def test_a_mistake_in_an_item_has_its_line(self, tmp_path):
        text = V4.replace("{width: 64, depth: 64, datawidth: 8}", "\n    - {width: 64}\n    - {depth: deep, datawidth: 8}")
        assert "part0.yaml:12:15: error: expected a number, got 'deep'" in mistakes(text, tmp_path=tmp_path)

    def test_messages_quote_a_line_at_most(self, tmp_path):
        text = V4.replace("{width: 64, depth: 64, datawidth: 8}", f"[{', '.join(map(str, range(2000)))}]")
        assert max(map(len, mistakes(text, tmp_path=tmp_path).splitlines())) < 240


class TestExpressions:
    @pytest.mark.parametrize(
        ("written", "width"),
        [
            ("8 * (2 if SIGNED else 1)", 16),
            ("16 if KIND == 'wide' and ROWS > 3 else 8", 16),
            ("16 if not SIGNED or KIND in ['wide', 'broad'] else 8", 16),
            ('8 * variables.get("MISSING", 3)', 24),
            ('8 * variables.get("ROWS", 3)', 32),
            ("32 if KIND != 'wide' else 8 if SIGNED == 0 else 64", 64),
        ],
    )
    def test_conditions_and_lookups_in_attributes(self, written: str, width: int):
        attributes = f"\n      width: {written}\n      depth: 64\n      datawidth: 8"
        near = level(V4.replace("{width: 64, depth: 64, datawidth: 8}", attributes), "Near")
        assert near.block_size * near.word_bits == width

    def test_words_may_depend_on_conditions(self):
        text = V4.replace("    class: SRAM", '    class: \'"regfile" if ROWS < 8 else "SRAM"\'')
        assert level(text, "Near").class_name == "regfile"

    def test_nodes_may_depend_on_conditions(self):
        extra = "  - !Component {name: Mid, class: SRAM, enabled: 'ROWS > 8', attributes: {width: 8, depth: 8, datawidth: 8}}\n"
        text = V4.replace("  - !Container", extra + "  - !Container")
        assert [one.name for one in sl.design_of(sl.loads(text)).arch.levels] == ["Far", "Near", "inter_Row_spatial", "Unit"]

    def test_factors_put_together(self):
        text = V4.replace("factors: [M=1, N=1, K=4]", "factors: [M=1, N=1, ('K=' + str(ROWS))]")
        assert sl.evaluate(sl.loads(text)).cycles == 16

    @pytest.mark.parametrize(
        ("written", "message"),
        [
            ("8 if SIGNED", "has an if without else"),
            ("8 if KIND > 3 else 1", "cannot compare 'wide' with '3'"),
            ('variables.get("NOPE")', "there is no variable 'NOPE'"),
            ("open('x')", "unknown function 'open'"),
            ("SIGNED.real", "unexpected character '.'"),
        ],
    )
    def test_what_cannot_be_computed_says_why(self, written: str, message: str, tmp_path):
        assert message in mistakes(
            V4.replace("{width: 64, depth: 64, datawidth: 8}", f"\n      width: {written}\n      datawidth: 8"), tmp_path=tmp_path
        )


class TestDeepMerges:
    DEFAULTS = """
shared_ignore:
- &cells
  class: SRAM
  attributes: {width: 64, depth: 8, datawidth: 8}
  constraints: {temporal: {factors: [M=4]}}
- &keep
  constraints: {dataspace: {keep: [A]}}
"""

    def test_maps_merge_at_every_depth_and_lists_grow(self):
        node = "!Component {name: Near, <<<: [*cells, *keep], attributes: {depth: 64}, constraints: {temporal: {factors: [N=4]}}}"
        text = self.DEFAULTS + V4.replace(NEAR, node)
        spec = sl.loads(text)
        assert level(text, "Near").capacity_words == 64 * 8
        assert spec.constraints["Near"].factors == {"N": 4, "M": 4}
        assert list(spec.constraints["Near"].keep) == ["A"]

    def test_what_is_tagged_nomerge_stays(self):
        node = "!Component {name: Near, <<<: *cells, attributes: {depth: 64}, constraints: !nomerge {temporal: {factors: [N=4]}}}"
        text = self.DEFAULTS + V4.replace(NEAR, node)
        assert sl.loads(text).constraints["Near"].factors == {"N": 4}

    def test_an_anchor_on_a_merged_mapping_has_what_was_merged(self):
        chain = "shared_ignore:\n- &a {attributes: {width: 64, datawidth: 8}}\n- &b {<<<: *a, attributes: {depth: 64}}\n"
        node = "!Component {name: Near, class: SRAM, <<<: *b}"
        text = chain + V4.replace(NEAR, node)
        assert level(text, "Near").capacity_words == 64 * 8

    def test_an_array_container_is_a_container(self):
        assert sl.evaluate(sl.loads(V4.replace("!Container", "!ArrayContainer"))).to_dict()["totals"]["cycles"] == 16
