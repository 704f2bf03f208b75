"""A network on several machines: who wins a layer and why, totals, records, and the page."""

from __future__ import annotations

import re
from functools import cache

import sparseloop as sl
from sparseloop.mapper.network import NetworkProgress, NetworkResult, map_machines
from sparseloop.report.datatable import table_text
from sparseloop.report.networks import machines as tables

NET = """
layers:
  - {name: wide, einsum: "Z[m,n] = A[m,k] * B[k,n]", shape: {m: 8, n: 8, k: 8}, times: 3}
  - {name: narrow, einsum: "Z[m,n] = A[m,k] * B[k,n]", shape: {m: 1, n: 1, k: 1}}
"""


def machine(lanes: int, read: float) -> str:
    return f"""
architecture:
  levels:
    - {{name: DRAM, class: dram, energy: {{read: {read}, write: {read}}}, area: 0}}
    - {{name: par, fanout: {lanes}}}
    - {{name: MAC, class: mac, energy: {{compute: 1}}, area: 2}}
"""


@cache
def compared() -> dict[str, NetworkResult]:
    specs = {name: sl.loads(NET + machine(*sizes)) for name, sizes in {"many": (8, 100.0), "frugal": (1, 50.0)}.items()}
    return map_machines(specs, sl.SearchOptions(method="exhaustive"))


def test_every_machine_has_all_layers_under_their_names() -> None:
    assert {name: [layer.name for layer in network.layers] for name, network in compared().items()} == {
        "many": ["wide", "narrow"],
        "frugal": ["wide", "narrow"],
    }
    alone = sl.map_network(sl.loads(NET + machine(8, 100.0)), sl.SearchOptions(method="exhaustive"))
    assert alone.totals == compared()["many"].totals


def test_where_each_wins_and_why() -> None:
    wide, narrow = tables.verdicts(compared())
    assert (wide.best, wide.times, wide.computes) == ("many", 3, 512)
    assert wide.why.startswith("8 x faster than frugal (utilization 100 %")
    assert narrow.best == "frugal"
    assert "less energy than many" in narrow.why


def test_totals_count_runs_and_wins() -> None:
    many, frugal = tables.totals_table(compared()).rows
    assert (many[0], many[7], frugal[7]) == ("many", "1", "1")
    assert compared()["frugal"].totals.cycles == 3 * 512 + 1
    assert many[8] == "2 of 2 proven"


def test_records() -> None:
    rows = tables.machine_rows(compared())
    assert [(row["machine"], row["layer"], row["times"], row["best"]) for row in rows] == [
        ("many", "wide", 3, True),
        ("many", "narrow", 1, False),
        ("frugal", "wide", 3, False),
        ("frugal", "narrow", 1, True),
    ]
    assert tuple(rows[0]) == tables.MACHINE_COLUMNS
    data = tables.machines_data(compared())
    assert data["machines"]["frugal"]["cycles"] == 3 * 512 + 1
    assert data["schema"] == "sparseloop.network/1"
    results = [layer.result for network in compared().values() for layer in network.layers if layer.result is not None]
    assert data["warnings"] == list(dict.fromkeys(text for result in results for text in result.warnings))


def test_a_layer_without_a_mapping() -> None:
    tight = machine(8, 100.0).replace("    - {name: par", "    - {name: GLB, class: sram, capacity: 1 words}\n    - {name: par")
    spec = sl.loads(NET + tight + "constraints: {GLB: {keep: [A, B, Z]}}")
    found = map_machines({"tight": spec, "many": sl.loads(NET + machine(8, 100.0))}, sl.SearchOptions(budget=50))
    assert [verdict.best for verdict in tables.verdicts(found)] == ["many", "many"]
    assert "no mapping: wide, narrow" in str(tables.totals_table(found).rows[0][8])
    assert "-" in table_text(tables.layers_table(found), 100).plain
    assert "<svg" in tables.machines_page("net", found)


def test_what_an_interrupt_left_out_is_neither_a_size_nor_a_win() -> None:
    specs = {name: sl.loads(NET + machine(8, cost)) for name, cost in {"first": 100.0, "second": 50.0}.items()}
    names = list[str]()

    def watch(progress: NetworkProgress) -> None:
        if progress.searching and progress.searching[0] not in names:
            names.append(progress.searching[0])
            if len(names) == 2:
                raise KeyboardInterrupt

    machines = map_machines(specs, sl.SearchOptions(method="random", budget=20), watch=watch)
    wide, narrow = tables.verdicts(machines)
    assert (wide.computes, narrow.computes) == (512, 1)
    assert narrow.best == ""
    data = tables.machines_data(machines)
    assert data["machines"]["second"]["energy_pj"] is data["machines"]["second"]["edp_pj_cycles"] is None


def test_the_page_has_everything_and_needs_nothing() -> None:
    text = tables.machines_page("my <net>", compared(), ["sparseloop network my_net"])
    assert "my &lt;net&gt;" in text
    assert all(name in text for name in ("many", "frugal", "wide", "narrow", "roofline"))
    assert re.findall(r"(?:src|href)=", text) == []
    assert "<script" not in text
    assert text.count("fill-opacity") == 4


def test_a_faster_clock_counts() -> None:
    slow, quick = (
        machine(1, 50.0).replace("architecture:", f"architecture:\n  clock: {clock}") for clock in ("100 MHz", "1 GHz")
    )
    found = map_machines({"slow": sl.loads(NET + slow), "quick": sl.loads(NET + quick)}, sl.SearchOptions(method="exhaustive"))
    assert [(one.best, one.why[:21]) for one in tables.verdicts(found)] == [("quick", "10 x faster than slow")] * 2
