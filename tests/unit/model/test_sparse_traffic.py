"""Words of tiles that are larger than their room: what is streamed beyond what is filled, worked by hand."""

from __future__ import annotations

import pytest

import sparseloop as sl

MACHINE = """
architecture:
  levels:
    - {{name: L1, class: buffer}}
    - {{name: lanes, fanout: {lanes}}}
    - {{name: L0, class: buffer, capacity: {room} words, capacity_rule: 0.5}}
    - {{name: MAC, class: mac}}
"""

WINDOW = """
workload: {einsum: "Z[n,p] = I[p+r] * W[r]", shape: {p: 3, r: 3, n: 2}}
mapping:
  - L1: for p=3
  - lanes: x n=2
  - L0: for r=3 | keep I
"""

ROWS = """
workload: {einsum: "Z[m,n] = A[m,k] * B[m]", shape: {m: 4, n: 3, k: 4}, density: {A: 0.5, B: 0.5}}
mapping:
  - L1: for m=4
  - L0: for n=3 k=4 | keep A
"""


def overflow(text: str, tensor: str, room: int, lanes: int = 1) -> tuple[float, float]:
    cost = sl.evaluate(sl.loads(text + MACHINE.format(room=room, lanes=lanes))).cost
    (link,) = (k for k in cost.sparse.links if k.dense.link.name == tensor and k.child is not None)
    reads, fills, _ = link.overflow
    return float(reads), float(fills)


@pytest.mark.parametrize(("room", "streamed"), [(4, 0), (3, 1), (1, 3)])
def test_a_dense_tile_larger_than_its_room_is_streamed_at_each_use(room: int, streamed: int) -> None:
    """Four words used twice: what does not fit is fetched again at the second use."""
    text = """
workload: {einsum: "Z[i] = A[j]", shape: {i: 2, j: 4}}
mapping: [{target: L1, loops: []}, {target: L0, loops: [{rank: i, bound: 2}, {rank: j, bound: 4}], keep: [A]}]
"""
    assert overflow(text, "A", room) == (streamed, streamed)


@pytest.mark.parametrize(("room", "streamed"), [(3, 0), (2, 0), (1, 2)])
def test_a_window_keeps_what_stays_and_streams_what_arrives(room: int, streamed: int) -> None:
    """Windows 012, 123, 234: a room of 2 keeps what the next window has, too; one of 1 loses a word of it, twice.

    The two lanes hold the same windows: they are sent them together.
    """
    assert overflow(WINDOW, "I", room, lanes=2) == (streamed, 2 * streamed)


def test_words_of_a_window_that_are_used_again_are_streamed_again() -> None:
    """Each word twice in each of the three windows: for a room of 2 one word a window is fetched at its second use."""
    text = WINDOW.replace("x n=2", "x n=1").replace("for r=3", "for n=2 r=3")
    assert overflow(text, "I", 2) == (3, 3)
    assert overflow(text, "I", 1) == (2 * 3 * 2 - (2 + 1 + 1), 2 * 3 * 2 - (2 + 1 + 1))


@pytest.mark.parametrize("loops", ["for m=2", "for p=1 m=2", "for m=2 p=1 r=1"])
def test_padding_is_not_streamed_whatever_loops_of_one_iteration_there_are(loops: str) -> None:
    """Six words beside two of padding, used twice with room for five."""
    text = f"""
workload: {{einsum: "Z[m,p] = I[2*p+r-2] * W[m,r]", shape: {{m: 2, p: 1, r: 8}}, extent: {{I: [7]}}}}
mapping:
  - L1: {loops}
  - L0: for r=8 | keep I
"""
    assert overflow(text, "I", 5) == (1, 1)


@pytest.mark.parametrize("feature", ["gate", "skip"])
def test_tiles_that_are_not_delivered_are_not_streamed(feature: str) -> None:
    """One word of each of the 4 rows at 2 further uses: 8; half of the rows meet a zero."""
    assert overflow(ROWS, "A", 3) == (8, 8)
    assert overflow(ROWS + f"sparse: {{L1: {{{feature}: [A <- B], formats: {{B: CP(*)}}}}}}\n", "A", 3) == pytest.approx((4, 4))


def test_zeros_that_the_parent_does_not_store_are_not_read() -> None:
    """A is written out below a compressed level: of the 8 words that are streamed half are zeros, which no one sends."""
    assert overflow(ROWS + "sparse: {L1: {formats: {A: CP(*)}}}\n", "A", 3) == (4, 8)


def test_lanes_that_are_skipped_are_streamed_nothing() -> None:
    """Rows of both lanes are the same 4 words used 3 times, B one of two: each lane misses every other row."""
    text = """
workload: {einsum: "Z[m,n,h] = A[m,k] * B[m,h]", shape: {m: 4, n: 3, h: 2, k: 4}, density: {B: 0.5}}
mapping:
  - L1: for m=4
  - lanes: x h=2
  - L0: for n=3 k=4 | keep A
"""
    assert overflow(text, "A", 3, lanes=2) == (8, 16)
    text += "sparse: {L1: {spatial_skip: [A <- B], formats: {B: CP(*)}}}\n"
    reads, fills = overflow(text, "A", 3, lanes=2)
    assert fills == pytest.approx(8)
    assert reads == pytest.approx(8 * (1 - (4 * 3) / (8 * 7)))  # both of two words of B are zero


LANES = """
workload: {{einsum: "Z[m] = A[k,m]", shape: {{k: 4, m: 1}}, density: {density}}}
architecture: {{levels: [{{name: L0, class: buffer}}, {{name: PE, fanout: 2}}, {{name: MAC, class: mac}}]}}
mapping: [{{L0: for k=2}}, {{PE: x k=2 | no_multicast Z}}]
sparse: {{L0: {{formats: {{Z: CP(*)}}}}}}
"""


@pytest.mark.parametrize(("density", "reads"), [("{A: 1}", 2.0), ("{A: 1, Z: 1}", 3.0), ("{A: 1, Z: dense}", 3.0)])
def test_lanes_that_are_served_one_by_one_find_nothing_at_first(density: str, reads: float) -> None:
    """Four visits add into one word: the two lanes of the first step read before anything is stored, unless it is given."""
    (link,) = (k for k in sl.evaluate(sl.loads(LANES.format(density=density))).cost.sparse.links if k.dense.link.name == "Z")
    assert float(link.reads.actual) == pytest.approx(reads, abs=1e-12)
    assert float(link.updates.actual) == pytest.approx(4.0, abs=1e-12)


@pytest.mark.parametrize(("outer", "streamed"), [(1, (8, 8, 8)), (2, (16, 16, 16))])
def test_results_beyond_the_room_come_and_go_at_each_use(outer: int, streamed: tuple[int, int, int]) -> None:
    """Two tiles of 4 words, of which 2 do not fit. In a visit each word is added to 3 times, read before all but the very first
    time, and one return (in a second visit one read, too) is that of the tile: 2 * 3 - 2 updates; 2 * 2 reads, then 2 * 3 - 2."""
    text = f"""
workload: {{einsum: "Z[m] = A[m,k]", shape: {{m: 8, k: {3 * outer}}}}}
mapping:
  - L1: for k={outer} m=2
  - L0: for k=3 m=4 | keep Z
"""
    cost = sl.evaluate(sl.loads(text + MACHINE.format(room=2, lanes=1))).cost
    (link,) = (k for k in cost.sparse.links if k.dense.link.name == "Z" and k.child is not None)
    assert tuple(map(float, link.overflow)) == streamed
    counts = {a.action: float(a.count) for a in cost.levels[0].actions if a.tensor == "Z"}
    assert counts["update"] == 8 * outer + streamed[2]
    assert counts["read"] == 8 * (outer - 1) + streamed[0]
