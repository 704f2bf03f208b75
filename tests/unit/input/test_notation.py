"""Short notations."""

from __future__ import annotations

import pytest

from sparseloop.input import notation
from sparseloop.input.densities.words import parse_density
from sparseloop.input.expressions import NotationError
from sparseloop.input.notation import IndexForm
from sparseloop.input.notation_writer import mapping_entry


@pytest.mark.parametrize(
    ("function", "text", "value"),
    [
        (parse_density, 0.6, {"density": 0.6}),
        (parse_density, "60%", {"density": "60%"}),
        (parse_density, "2:4 c", {"model": "structured", "n": 2, "m": 4, "rank": "c"}),
        (parse_density, "4:8 over 2 : 4 c", {"model": "hierarchical", "ratios": ["4:8", "2:4"], "rank": "c"}),
        (parse_density, "2:4 along c", {"model": "structured", "n": 2, "m": 4, "rank": "c"}),
        (parse_density, "a/b.npz", {"model": "actual", "file": "a/b.npz"}),
        (notation.parse_bandwidths, "16 words/cycle", {"shared": "16 words/cycle"}),
        (notation.parse_metadata, "8 KiB", {"capacity": "8 KiB"}),
        (notation.parse_fanout, 14, {"x": 14}),
        (notation.parse_fanout, "14x12", {"x": 14, "y": 12}),
        (notation.parse_format, "RLE(5)", {"ranks": [{"kind": "RLE", "ranks": [], "metadata_bits": 5.0}]}),
        (notation.parse_format, "2:4", {"ranks": [{"kind": "CP", "ranks": [["*"]], "metadata_bits": 2.0}]}),
        (notation.parse_format, "4:7", {"ranks": [{"kind": "CP", "ranks": [["*"]], "metadata_bits": 3.0}]}),
        (notation.parse_format, "csr", {"ranks": [{"kind": "UOP", "ranks": []}, {"kind": "CP", "ranks": []}]}),
        (notation.parse_format, "coo", {"ranks": [{"kind": "CP", "ranks": [["*"]]}]}),
        (notation.parse_format, "bitmask", {"ranks": [{"kind": "B", "ranks": [["*"]]}]}),
        (
            notation.parse_format,
            "UOP(c;8) RLE(p,q;5,3)",
            {
                "ranks": [
                    {"kind": "UOP", "ranks": [["c"]], "payload_bits": 8.0},
                    {"kind": "RLE", "ranks": [["p", "q"]], "metadata_bits": 5.0, "payload_bits": 3.0},
                ]
            },
        ),
        (notation.parse_safs, "W <- I & Z", [{"follower": "W", "leaders": ["I", "Z"]}]),
        (notation.parse_safs, ["A <-> B"], [{"follower": "A", "leaders": ["B"]}, {"follower": "B", "leaders": ["A"]}]),
        (notation.parse_safs, True, True),
        (
            notation.parse_safs,
            [{"options": ["A <- B", "B <- A"]}],
            [{"follower": "A", "leaders": ["B"], "choice": -1}, {"follower": "B", "leaders": ["A"], "choice": -1}],
        ),
        (
            notation.parse_mapping_line,
            "for m=3 n=4 | keep I O | bypass W",
            {"loops": [{"rank": "m", "bound": 3}, {"rank": "n", "bound": 4}], "keep": ["I", "O"], "bypass": ["W"]},
        ),
        (
            notation.parse_mapping_line,
            "x q=14, y r=3 m=B",
            {
                "loops": [
                    {"rank": "q", "bound": 14, "axis": "x"},
                    {"rank": "r", "bound": 3, "axis": "y"},
                    {"rank": "m", "bound": "B", "axis": "y"},
                ]
            },
        ),
        (notation.parse_mapping_line, "p=4~3", {"loops": [{"rank": "p", "bound": 4, "residual": 3}]}),
        (notation.parse_mapping_line, "x=3 y = 2", {"loops": [{"rank": "x", "bound": 3}, {"rank": "y", "bound": 2}]}),
        (notation.parse_mapping_line, "| keep", {"loops": [], "keep": []}),
        (notation.parse_mapping_entry, {"DRAM": None}, {"target": "DRAM"}),
        (notation.parse_mapping_entry, "DRAM", {"target": "DRAM"}),
        (
            notation.parse_mapping_entry,
            {"target": "G", "loops": "m=2", "keep": "A B"},
            {"target": "G", "loops": [{"rank": "m", "bound": 2}], "keep": ["A", "B"]},
        ),
        (notation.parse_mapping, {"A": "m=2", "B": None}, [{"A": "m=2"}, {"B": None}]),
    ],
)
def test_short_notations(function, text, value):
    assert function(text) == value


@pytest.mark.parametrize(
    ("function", "text", "part", "offset"),
    [
        (notation.parse_format, "UOP RLEE(5)", "unknown format 'RLEE'", 4),
        (notation.parse_format, "RLE(p?)", "cannot read 'p?'", 4),
        (notation.parse_format, "csc", "csc is not", 0),
        (notation.parse_format, "4:2", "no n:m format", 0),
        (notation.parse_format, "", "empty format", None),
        (notation.parse_format, "CP(1,2,3)", "at most two", 3),
        (notation.parse_safs, "W", "cannot read feature", None),
        (notation.parse_safs, "W <- 3", "not a tensor name", 5),
        (notation.parse_safs, "A <-> B & C", "between two tensors", 2),
        (notation.parse_mapping_line, "for m=3 n", "cannot read 'n'", 8),
        (notation.parse_mapping_line, "m=3 keep I", "cannot read 'keep'", 4),
        (notation.parse_mapping_line, "m=3 | kep I", "unknown word 'kep'", 6),
        (notation.parse_mapping_line, "m=3 n=0", "at least 1", 6),
        (notation.parse_mapping_line, "m=", "cannot read loop", 0),
        (notation.parse_mapping_line, "m=3x", "cannot read loop", 0),
        (notation.parse_mapping_line, "m=3 | keep A n=4", "inside 'keep'", 13),
        (notation.parse_mapping_entry, {"A": 1, "B": 2}, "names one level", None),
        (notation.parse_einsum, "Z[m,n] = A[m,k", "'[m,k'", 10),
        (notation.parse_einsum, "Z[m] = A[m] + B[m]", "expected '*'", 12),
        (notation.parse_einsum, "Z[m] A[m]", "expected '='", 5),
        (notation.parse_einsum, "Z[i] = A[i] * A[j]", "appears twice", 14),
        (notation.parse_einsum, "Z[i] = A[p q]", "cannot read index", 11),
        (notation.parse_einsum, "Z[i] = A[i,]", "empty index", 11),
        (notation.parse_einsum, "Z[i] = A[i-i]", "coefficient 0", 9),
        (notation.parse_einsum, "Z[i]", "at least one operand", None),
        (notation.parse_einsum, "Z[i] = ", "expected a tensor", 6),
    ],
)
def test_mistakes_have_columns(function, text, part, offset):
    with pytest.raises(NotationError) as caught:
        function(text)
    assert part in caught.value.mistakes[0].message
    assert caught.value.mistakes[0].offset == offset


def test_all_mistakes_of_a_list_of_features():
    with pytest.raises(NotationError) as caught:
        notation.parse_safs(["A <- B", "A <", {"options": ["B <- A", "C"]}])
    assert [p.path for p in caught.value.mistakes] == [(1,), (2, 1)]


def test_einsum():
    parsed = notation.parse_einsum("O[n,m,p,q] = I[n, c, 2*p+r, q*2+s-1] * W[m,c,r,s]")
    assert [t.name for t in parsed.tensors] == ["O", "I", "W"]
    assert parsed.tensors[1].axes[2] == IndexForm((("p", 2), ("r", 1)))
    assert parsed.tensors[1].axes[3] == IndexForm((("q", 2), ("s", 1)), -1)
    assert parsed.ranks == ("n", "m", "p", "q", "c", "r", "s")


def test_einsum_without_indices_and_with_one_or_four_operands():
    assert notation.parse_einsum("Z = A[k] * B[k]").tensors[0].axes == ()
    assert len(notation.parse_einsum("Z[i] = A[2i]").tensors) == 2
    assert len(notation.parse_einsum("Z[i,j] = A[i,k,l]*B[k,j]*C[l,j] * D[i]").tensors) == 5


@pytest.mark.parametrize("line", ["for m=3 n=4~2 | keep I O | bypass W", "x q=14, y r=3 m=4 | no_multicast I", "", "| bypass A"])
def test_mapping_lines_there_and_back(line):
    entry = notation.parse_mapping_entry({"L": line})
    assert mapping_entry(entry) == {"L": line}
