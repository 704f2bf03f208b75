"""The brute-force walker with formats: what compression leaves out, and the entries of format ranks."""

from __future__ import annotations

import numpy as np
import pytest

from sparseloop.model.design.sparse import RankFormat, Sparse, TensorFormat
from tests.helpers.walks import einsum, fmt, mapped, matmul, saf, split, tensor, walk


class TestFormats:
    """Compression and the entries of format ranks."""

    A = ((1, 0, 0, 0), (0, 0, 0, 0), (1, 1, 0, 1))

    def test_compressed_words_are_absent_and_decompressed_dense(self):
        sparse = Sparse(formats={(0, "A"): fmt("CP", "CP"), (0, "Z"): fmt("CP")})
        walked = walk(matmul(3, 1, 4), mapped("m3 | k4", "ABZ|AZ"), sparse, A=self.A, Z=[[1], [0], [0]])
        assert split(walked.tensors[0, "A"].reads) == (4, 0, 0, 8)
        assert split(walked.tensors[1, "A"].fills) == (12, 0, 0, 0)
        assert walked.tensors[1, "A"].decompress == 12
        assert split(walked.tensors[0, "Z"].updates) == (1, 0, 0, 2)
        assert walked.tensors[0, "Z"].compress == 1

    def test_inner_ranks_travel_and_own_ranks_are_walked(self):
        sparse = Sparse(formats={(0, "A"): fmt("UOP", "CP"), (1, "A"): fmt("CP")})
        walked = walk(matmul(3, 2, 4), mapped("m3 n2 | k4", "ABZ|ABZ"), sparse, A=self.A)
        rows, entries = walked.tensors[0, "A"].metadata_reads
        assert split(rows.payload) == pytest.approx((4, 0, 0, 0))  # three pointers and one end
        assert split(entries.metadata) == (4, 0, 0, 8)
        assert entries.payload.total == 0
        assert split(walked.tensors[1, "A"].metadata_fills[0].metadata) == (4, 0, 0, 8)
        assert split(walked.tensors[1, "A"].metadata_reads[0].metadata) == (8, 0, 0, 16)

    def test_inner_ranks_follow_a_skipped_delivery(self):
        sparse = Sparse(formats={(0, "A"): fmt("UOP", "CP"), (1, "A"): fmt("CP")}, safs=(saf("skip", 0, "A", "B"),))
        walked = walk(matmul(3, 1, 4), mapped("m3 | k4", "ABZ|ABZ"), sparse, A=self.A, B=np.zeros((1, 4)))
        rows, entries = walked.tensors[0, "A"].metadata_reads
        # all of B is seen at once, so that it is known before A's rows are entered
        assert split(rows.payload) == pytest.approx((0, 0, 4, 0))
        assert split(entries.metadata) == (0, 0, 4, 8)
        assert split(walked.tensors[1, "A"].metadata_fills[0].metadata) == (0, 0, 4, 8)
        assert split(walked.tensors[1, "A"].metadata_reads[0].metadata) == (0, 0, 0, 12)

    def test_bitmap(self):
        sparse = Sparse(formats={(0, "A"): fmt("B", "B")})
        walked = walk(matmul(3, 1, 4), mapped("m3 k4", "ABZ"), sparse, A=self.A)
        rows, entries = walked.tensors[0, "A"].metadata_reads
        assert split(rows.metadata) == (3, 0, 0, 0)
        assert split(rows.payload) == (2, 0, 0, 1)
        assert split(entries.metadata) == (8, 0, 0, 4)  # the empty row has no bits

    def test_uncompressed_bitmap_moves_zeros(self):
        sparse = Sparse(formats={(0, "A"): fmt("UB", "UB")})
        walked = walk(matmul(3, 1, 4), mapped("m3 k4", "ABZ"), sparse, A=self.A)
        assert split(walked.tensors[0, "A"].reads) == (12, 0, 0, 0)
        assert split(walked.tensors[0, "A"].metadata_reads[1].metadata) == (12, 0, 0, 0)

    def test_leader_known_before_the_fiber_is_entered(self):
        """B's columns are not looked at where A's row element is zero; its row pointers always are."""
        problem = einsum([tensor("A", "m"), tensor("B", "m", "k"), tensor("Z", "m", output=True)], m=3, k=4)
        sparse = Sparse(formats={(0, "B"): fmt("UOP", "CP")}, safs=(saf("skip", 0, "B", "A"),))
        walked = walk(problem, mapped("m3 k4", "ABZ"), sparse, A=[1, 0, 0])
        rows, entries = walked.tensors[0, "B"].metadata_reads
        assert split(rows.payload) == pytest.approx((4, 0, 0, 0))
        assert split(entries.metadata) == (4, 0, 8, 0)

    def test_skip_ahead(self):
        """A = {0, 1, 2, 5}, B = {2, 4, 5}: only 2 (after B's 2) and 5 (after B's 4) of A are looked at."""
        sparse = Sparse(formats={(0, "A"): fmt("CP")}, safs=(saf("skip", 0, "A", "B", intersection="skip_ahead"),))
        a, b = [[1, 1, 1, 0, 0, 1, 0, 0]], [[0, 0, 1, 0, 1, 1, 0, 0]]
        walked = walk(matmul(1, 1, 8), mapped("k8", "ABZ"), sparse, A=a, B=b)
        assert split(walked.tensors[0, "A"].metadata_reads[0].metadata) == (2, 0, 2, 4)
        assert split(walked.tensors[0, "A"].reads) == (2, 0, 2, 4)

    def test_lone_word_carries_its_coordinate(self):
        sparse = Sparse(formats={(0, "A"): fmt("CP"), (1, "A"): fmt("CP")})
        walked = walk(matmul(3, 2, 1), mapped("m3 n2 |", "ABZ|A"), sparse, A=[[1], [0], [1]])
        (entry,) = walked.tensors[1, "A"].metadata_fills
        assert split(entry.metadata) == (2, 0, 0, 1)
        (entry,) = walked.tensors[1, "A"].metadata_reads
        assert split(entry.metadata) == (4, 0, 0, 2)

    def test_ranks_without_loops(self):
        """One row of A in csr: an offset per word and one more, and the list of each non-zero has one coordinate."""
        sparse = Sparse(formats={(0, "A"): fmt("UOP", "CP")}, safs=(saf("skip", 0, "B", "A"),))
        walked = walk(matmul(1, 1, 4), mapped("k4", "ABZ"), sparse, A=[[1, 0, 0, 1]])
        offsets, coordinates = walked.tensors[0, "A"].metadata_reads
        assert split(offsets.payload) == pytest.approx((5, 0, 0, 0))
        assert split(coordinates.metadata) == (2, 0, 0, 2)
        assert coordinates.payload.total == 0
        walked = walk(matmul(1, 3, 1), mapped("n3", "ABZ"), sparse, A=[[1]])
        offsets, coordinates = walked.tensors[0, "A"].metadata_reads
        assert split(offsets.payload) == pytest.approx((2, 0, 0, 0))  # looked up once
        assert split(coordinates.metadata) == (3, 0, 0, 0)  # with every access

    def test_output_entries(self):
        sparse = Sparse(formats={(0, "Z"): fmt("CP")})
        walked = walk(matmul(3, 1, 2), mapped("k2 m3", "ABZ"), sparse, Z=[[1], [1], [0]])
        (read,), (update,) = walked.tensors[0, "Z"].metadata_reads, walked.tensors[0, "Z"].metadata_updates
        assert split(update.metadata) == (4, 0, 0, 2)
        assert split(read.metadata) == (2, 0, 0, 1)

    def units(self, form, text="m3 k4", timeloop=False):
        walked = walk(matmul(3, 1, 4), mapped(text, "ABZ"), Sparse(formats={(0, "A"): form}, timeloop_reading=timeloop))
        return [rank.metadata.total for rank in walked.tensors[0, "A"].metadata_reads]

    def test_layout(self):
        grouped = RankFormat(kind="CP", groups=(("k", "m"),))
        other = RankFormat(kind="CP", groups=(("n",),))
        plain = RankFormat(kind="CP")
        assert self.units(fmt("CP")) == [3, 12]  # repeated automatically
        assert self.units(fmt("CP", "CP", "CP")) == [3, 12, 12]  # lists of one element
        assert self.units(fmt("CP", "CP", "CP"), timeloop=True) == [3, 12, 0]
        assert self.units(fmt("CP", "CP", "CP", order="inner_to_outer")) == [1, 3, 12]
        assert self.units(TensorFormat(ranks=(grouped,))) == [12]
        assert self.units(TensorFormat(ranks=(other, plain, plain))) == [1, 3, 12]
        assert self.units(TensorFormat(ranks=(plain, other, plain), order="inner_to_outer")) == [3, 3, 12]
        with pytest.raises(ValueError, match="too few ranks"):
            self.units(fmt("CP", automatic=False))

    def test_compressed_below_uncompressed_is_rejected(self):
        with pytest.raises(ValueError, match="compressed at level 1"):
            walk(matmul(1, 1, 4), mapped("| k4", "ABZ|ABZ"), Sparse(formats={(1, "A"): fmt("CP")}))
