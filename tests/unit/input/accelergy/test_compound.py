"""Compound components: attributes, lists, actions with arguments, scales, nesting; and the mistakes in them."""

from __future__ import annotations

import pytest

from tests.helpers.accelergy_files import ARCHITECTURE, CLASSES, Counting, areas, energies, made, mistakes, one

BUF = "chip.PE[0..11].buf"


def test_a_compound_is_the_sum_of_its_parts():
    tables = made(CLASSES, ARCHITECTURE)
    assert energies(tables, BUF) == {"read": 2.0, "idle": 0.5}
    assert areas(tables) == {"chip.DRAM": 10.0, BUF: 30.0}
    row = next(row for row in tables.rows if row.component == BUF)
    assert row.source == "compound spad: 1 x storage.read (one) + 1 x counters.add (one)"
    assert tables.notes == ()


def test_attributes_come_from_the_outside_and_expressions_are_computed():
    prices = Counting()
    made(CLASSES, ARCHITECTURE, prices=prices)
    asked = {(name, action): attributes for name, attributes, action, _ in prices.asked}
    assert asked["SRAM", "read"] == {"technology": "45nm", "width": 16, "depth": 1000}
    assert asked["intadder", "add"] == {"technology": "45nm", "datawidth": 10}  # log counts bits in v0.3


def test_a_primitive_has_the_rows_of_its_class():
    storage = made("architecture: {version: 0.3, local: [{name: m, class: SRAM, attributes: {width: 8, depth: 4}}]}")
    assert [row.arguments for row in storage.rows if row.action == "read"] == [
        (("address_delta", a), ("data_delta", d)) for a in (0, 1) for d in (0, 1)
    ]
    assert energies(made(CLASSES, ARCHITECTURE), "chip.DRAM") == {"read": 1.0, "write": 1.0, "idle": 0.25}


def test_ranges_count_from_any_start():
    text = """
  - name: x
    attributes: {n: 3}
    subcomponents:
    - {name: "part[10..n*10]", class: p}
    actions:
    - {name: all, subcomponents: [{name: part, actions: [{name: go}]}]}
    - {name: some, subcomponents: [{name: "part[12..n+11]", actions: [{name: go}]}]}
    - {name: single, subcomponents: [{name: "part[30]", actions: [{name: go}]}]}
"""
    tables = one(text)
    assert energies(tables, "s.c") == {"all": 21.0, "some": 3.0, "single": 1.0}
    assert areas(tables) == {"s.c": 210.0}
    assert energies(one(text, "{n: 4}"), "s.c")["all"] == 31.0


def test_arguments_make_one_row_each_and_may_be_used():
    text = """
  - name: x
    attributes: {top: 2}
    subcomponents: [{name: p, class: adder}]
    actions:
    - name: go
      arguments: {n: 1..top, mode: [fast, slow]}
      subcomponents: [{name: p, actions: [{name: add, arguments: {steps: n + 1, mode: mode}, repeat: n}]}]
"""
    tables = one(text)
    assert energies(tables, "s.c") == {f"go n={n} mode={m}": n for n in (1, 2) for m in ("fast", "slow")}


def test_scales_multiply():
    text = """
  - name: x
    attributes: {half: 1 / 2}
    subcomponents:
    - {name: "p[1..4]", class: p, area_scale: half, energy_scale: 3, area_share: 2, energy_share: half}
    actions:
    - {name: go, subcomponents: [{name: p, actions: [{name: a, energy_scale: half, action_share: 5, repeat: 2}]}]}
"""
    tables = one(text)
    assert energies(tables, "s.c") == {"go": 4 * 3 * 0.5 * 0.5 * 5 * 2}
    assert areas(tables) == {"s.c": 10.0 * 4 * 0.5 * 2}


NESTED = """
  - name: x
    attributes: {width: must_specify, area_scale: width / 16, technology: must_specify}
    subcomponents:
    - {name: inner, class: y, area_scale: area_scale, attributes: {bits: 2 * width}}
    - {name: p, class: p}
    actions:
    - {name: go, subcomponents: [{name: inner, actions: [{name: run}]}]}
  - name: y
    attributes: {bits: must_specify, technology: must_specify, area_scale: 1 / 8, width: '1 if bits > 100 else max(bits, 4)'}
    subcomponents: [{name: "q[1..width]", class: q, attributes: {bits: bits}}]
    actions:
    - {name: run, subcomponents: [{name: q, actions: [{name: step}]}]}
"""


def test_compounds_inside_compounds_inherit_in_v04():
    """As published tables have it, the attribute area_scale counts for a component as a whole, not for compounds inside it."""
    tables = one(NESTED, "{width: 8, technology: 32nm}")
    assert energies(tables, "s.c") == {"go": 16.0}
    assert areas(tables) == {"s.c": 0.5 * (0.5 * 16 * 10 + 10)}
    assert energies(one(NESTED, "{width: 60, technology: 32nm}"), "s.c") == {"go": 1.0}


def test_nothing_is_inherited_into_compounds_before_v04():
    tree = "architecture: {version: 0.3, local: [{name: c, class: x, attributes: {width: 8, technology: 32nm}}]}"
    text = mistakes("compound_components:\n  version: 0.3\n  classes:" + NESTED, tree)
    assert "class 'y' needs the attribute 'technology', which is not given here" in text


def test_primitive_type_is_tried_first():
    text = """
  - name: x
    primitive_type: whole
    attributes: {}
    subcomponents: [{name: "p[0..2]", class: p}]
    actions: [{name: go, subcomponents: [{name: p, actions: [{name: a}]}]}]
"""
    assert energies(one(text), "s.c") == {"go": 1.0}
    tree = "architecture: {version: '0.4', local: [{name: c, class: x}]}"
    classes = f"compound_components:\n  version: '0.4'\n  classes:{text}"
    assert energies(made(classes, tree, prices=Counting("whole")), "c") == {"go": 3.0}


def test_what_has_no_price_is_said():
    tables = made(CLASSES, ARCHITECTURE, prices=Counting("intadder"))
    assert energies(tables, BUF) == {}
    assert tables.notes == (
        f"{BUF}: actions without a row, for lack of a price of counters.add, counters.idle",
        f"{BUF}: no area, for lack of that of counters",
    )
    unknown = made("architecture: {version: 0.3, local: [{name: c, class: gizmo}]}")
    assert "nothing is known of class 'gizmo'" in unknown.notes[0]


def test_a_subcomponent_listed_twice_counts_once_before_v04():
    text = """
  - name: x
    subcomponents: [{name: p, class: p}]
    actions: [{name: go, subcomponents: [{name: p, actions: [{name: a}]}, {name: p, actions: [{name: a}]}]}]
"""
    old = one(text, version="0.3")
    assert energies(old, "s.c") == {"go": 1.0}
    assert "lists 'p' twice: counted once" in old.notes[0]
    assert energies(one(text), "s.c") == {"go": 2.0}


# --- architectures ------------------------------------------------------------------------------------------


def test_the_tree_of_v04():
    nodes = """
variables: {technology: 32nm}
architecture:
  version: '0.4'
  nodes:
  - !Container {name: chip, attributes: {depth: 64}, spatial: {meshX: 2}}
  - !Component {name: glb, class: m, attributes: {width: 8}, required_actions: [read, leak]}
  - !Parallel
    nodes:
    - !Component {name: a, class: m, spatial: {meshX: 3, meshY: 2}, required_actions: [read]}
    - !Component {name: b, class: m, enabled: false}
  - !Hierarchical
    nodes:
    - !Container {name: pe, spatial: {meshX: 4}}
    - !Component {name: c, class: m, attributes: {technology: 7nm}, required_actions: [read]}
"""
    prices = Counting()
    tables = made(nodes, prices=prices)
    top = "system_top_level"
    assert [row.component for row in tables.rows] == [f"{top}.{n}" for n in ("glb[1..2]", "glb[1..2]", "a[1..12]", "c[1..8]")]
    assert prices.asked[0][1] == {"technology": "32nm", "depth": 64, "width": 8}
    assert prices.asked[-1][1] == {"technology": "7nm", "depth": 64}


def test_a_tree_of_nodes_asks_for_the_actions_of_its_kind():
    nodes = "[!Component {name: m, class: DRAM}, !Component {name: x, class: intmac}]"
    tables = made(f"architecture: {{version: '0.4', nodes: {nodes}}}")
    asked = [(row.component, row.action) for row in tables.rows]
    memory = [("system_top_level.m[1..1]", action) for action in ("read", "write", "update", "leak")]
    assert asked == [*memory, ("system_top_level.x[1..1]", "compute"), ("system_top_level.x[1..1]", "leak")]


def test_a_flattened_architecture():
    text = "architecture: {version: 0.3, local: [{name: 'chip.PE[0..3].m', class: DRAM}]}"
    assert areas(made(text)) == {"chip.PE[0..3].m": 10.0}


# --- mistakes -----------------------------------------------------------------------------------------------


def test_all_mistakes_at_once_with_their_places():
    wrong = CLASSES.replace("{name: storage, actions: [{name: read}]}", "{name: storag, actions: [{name: read}]}")
    wrong = wrong.replace("counter_width: log(depth)", "counter_width: log(dept)").replace("class: SRAM,", "clas: SRAM,")
    text = mistakes(wrong, ARCHITECTURE)
    assert "all.yaml:13:16: error: action 'read' uses unknown subcomponent 'storag'" in text
    assert "^^^^^^  did you mean 'storage'?" in text
    assert "all.yaml:8:23: error: unknown key 'clas' of subcomponent storage" in text
    assert "subcomponent 'storage' needs a class" in text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("log(depth)", "log(dept)", "cannot compute 'log(dept)': unknown name 'dept'"),
        ("log(depth)", "width + counter_width", "attribute 'counter_width' is defined by itself"),
        ("log(depth)", "log(depth - 1000)", "cannot compute 'log(depth - 1000)'"),
        ("log(depth)", "8 / (depth - 1000)", "division by zero"),
        ("log(depth)", "1 if technology > 1 else 2", "cannot compare '45nm' with '1'"),
        ("log(depth)", "1 if depth", "has an if without else"),
        ('"counters[0..1]", class', '"counters[3..1]", class', "the range 3..1 of 'counters' runs backwards"),
        ('"counters[0..1]", class', '"counters[0..]", class', "cannot read the range in 'counters[0..]'"),
        ('"counters[0..1]", class', '"counters[0..technology]", class', "'technology' must be a number, not '45nm'"),
        ('"counters[0]"', '"counters[2]"', "'counters' has the elements 0..1, not 2..2"),
        ('"counters[0]"', '"storage[0]"', "subcomponent 'storage' is no list"),
        ("class: SRAM", "class: spad", "class 'spad' contains itself"),
        ("depth: 1000", "length: 1000", "class 'spad' needs the attribute 'depth', which is not given here"),
        ("[{name: add}]", "[{name: add, energy_scale: much}]", "a scale or repeat must be a number, not 'much'"),
        ("[{name: add}]", "[{name: add, energy_scael: 2}]", "unknown key 'energy_scael'"),
        ("name: idle, sub", "name: read, sub", "action 'read' is defined twice"),
        ("name: idle, sub", "name: idle, arguments: {a: 5..1}, sub", "the range 5..1 is empty"),
        ("name: idle, sub", "name: idle, arguments: {a: 0..99999999999}, sub", "has more than 10000 values"),
        ("version: 0.3\n  classes", "version: 0.7\n  classes", "unknown version '0.7' of the class list"),
        ("attributes: {technology: must_specify,", "attributes: [technology] #", "expected a mapping"),
    ],
)
def test_mistakes_are_diagnostics(old: str, new: str, message: str):
    whole = f"{CLASSES}\n{ARCHITECTURE}"
    assert old in whole
    text = mistakes(whole.replace(old, new))
    assert message in text
    assert "all.yaml:" in text


def test_unknown_keys_are_noted():
    tables = made(CLASSES.replace("- name: spad", "- name: spad\n    colour: red"), ARCHITECTURE)
    assert tables.notes == ("all.yaml:6: 'colour' of class spad is unknown and was left out",)


def test_a_native_architecture_is_no_tree():
    assert "a native architecture" in mistakes(CLASSES, "architecture: {levels: [{name: DRAM}]}")
    assert "no 'architecture' in the files" in mistakes(CLASSES)


def test_nesting_cannot_explode():
    classes = "".join(
        f"\n  - {{name: k{i}, subcomponents: [{{name: a, class: k{i + 1}}}, {{name: b, class: k{i + 1}}}], actions: [{{name: go,"
        " subcomponents: [{name: a, actions: [{name: go}]}, {name: b, actions: [{name: go}]}]}]}"
        for i in range(30)
    ).replace("k0", "x")
    tree = "architecture: {version: '0.4', local: [{name: c, class: x}]}"
    text = mistakes(f"compound_components:\n  version: '0.4'\n  classes:{classes}", tree)
    assert "action 'go' is a sum of more than 2000 terms" in text
    assert "the area of class" in text
