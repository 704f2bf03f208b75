"""Physical accesses of whole blocks of words.

A block holds consecutive words of one delivery: of what one instance sends in one step to all its children together, or gets back
from them, or receives; every delivery starts a new block. At the compute link, which takes words one by one, consecutive words of
one instance share blocks. That is one rule for all formats: of a compressed tensor the words are its non-zeros.

Timeloop's files are counted as Timeloop does: plain words fill blocks without a break, packed ones by the level's own tile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import NamedTuple

from sparseloop.model import ops
from sparseloop.model.cost.known_blocks import known_blocks
from sparseloop.model.formats.occupancy import ResidentTile, TileWords
from sparseloop.model.plan import Link
from sparseloop.model.sparse_traffic import LinkSparse
from sparseloop.model.traffic.deliveries import Deliveries, received, sent
from sparseloop.model.traffic.imperfect import instances_used
from sparseloop.model.units import Count, Share, Words


class Filling(NamedTuple):
    """How stored words fill blocks before any feature acts."""

    words: Words
    blocks: Count
    opened: Count
    """Deliveries with a word, each of which opens a block."""

    @property
    def per_word(self) -> Share:
        """Blocks per word."""
        return ops.ratio(self.blocks, self.words)

    @property
    def per_further_word(self) -> Share:
        """Blocks per word after the first one of a delivery."""
        share = ops.ratio(self.blocks - self.opened, self.words - self.opened)
        return ops.minimum(1.0, ops.maximum(0.0, share))


@dataclass(frozen=True, eq=False)
class Blocks:
    """How the words that one action moves are put together to accesses."""

    size: float
    """B, words of the tensor in a block."""
    instances: Callable[[], Count]
    """Those of the level that the words belong to."""
    fill: Callable[[], Filling] | None = None
    """None where the words of an instance follow each other without a break."""
    opened: Callable[[Filling], Count] | None = None
    """Deliveries of which features leave something; None where they leave all or nothing."""
    known: Callable[[], Count] | None = None
    """Accesses for the words that features leave, where every delivery is known."""

    @cached_property
    def _filling(self) -> Filling:
        assert self.fill is not None
        return self.fill()

    def all_or_nothing(self, words: Words) -> Count:
        """Accesses for so many words of whole deliveries, over all instances."""
        if self.size <= 1:
            return words / self.size
        if self.fill is not None:
            return words * self._filling.per_word
        instances = self.instances()
        return instances * whole_blocks(words / instances, self.size)

    def accesses(self, actual: Words, extra: Words) -> Count:
        """Accesses for the words that features leave of all deliveries, and for further ones.

        What is left of a delivery opens a block; every further word opens one as often as before the features.
        """
        if self.known is not None:
            return self.known() + (extra * self._filling.per_word if self.fill is not None else extra / self.size)
        if self.size <= 1 or self.opened is None:
            return self.all_or_nothing(actual + extra)
        opened = ops.minimum(self.opened(self._filling), actual)
        blocks = opened + self._filling.per_further_word * (actual - opened)
        return ops.maximum(blocks, actual / self.size) + extra * self._filling.per_word


def whole_blocks(words: Words, block: float) -> Count:
    """ceil(n / B); a mean number of words is taken as a mixture of its neighbours."""
    low = words - words % 1.0
    part = words - low
    return (1.0 - part) * ops.ceil(low / block) + part * ops.ceil((low + 1.0) / block)


def of_accesses(k: LinkSparse, action: str) -> Blocks:
    """`read` or `update` of the parent of a link."""
    tiles, link = k.resident.safs.tiles, k.dense.link
    if _as_timeloop(k):
        return _blocks(k, lambda: _as_timeloop_fills(k))
    if link.to_compute:
        return replace(_blocks(k), known=_known(k, link, action))
    dense, left = (k.dense.reads, k.left.reads) if action == "read" else (k.dense.updates, k.left.updates)
    found = _of_deliveries(k, sent(tiles, k.dense), (k.child or k).resident, dense * left)
    return replace(found, known=_known(k, link, action))


def of_fills(k: LinkSparse, source: LinkSparse) -> Blocks:
    """Words that arrive over the link `source` at the parent of `k`."""
    if _as_timeloop(k):
        return _blocks(k, lambda: _as_timeloop_fills(k))
    arriving = received(k.resident.safs.tiles, source.dense)
    found = _of_deliveries(k, arriving, k.resident, source.dense.fills * source.left.fills)
    return replace(found, known=_known(k, source.dense.link, "fill"))


def _known(k: LinkSparse, link: Link, action: str) -> Callable[[], Count] | None:
    """Accesses that cross a link at a level with blocks, if everything about them is known."""
    found = known_blocks(k.resident.safs)
    return partial(found.accesses, link, action) if words_in_block(k) > 1 and found.tells(link) else None


def _as_timeloop(k: LinkSparse) -> bool:
    return k.resident.safs.plan.sparse.timeloop_reading


def _as_timeloop_fills(k: LinkSparse) -> Filling:
    block, tile = words_in_block(k), k.resident
    if not k.dense.link.compressed:
        return Filling(block, 1.0, 1.0)
    mean = tile.model.mean(tile.footprint, tile.words.sides)
    return Filling(mean, tile.model.blocks(tile.footprint, tile.words.sides, block), 0.0)


def words_in_block(k: LinkSparse) -> float:
    """B, words of the tensor in a block of the parent: more of a narrow tensor's, fewer of a wide one's."""
    return k.resident.level.block_size / k.resident.width


def _blocks(k: LinkSparse, fill: Callable[[], Filling] | None = None, opened: Callable[[Filling], Count] | None = None) -> Blocks:
    tiles, level = k.resident.safs.tiles, k.dense.link.parent
    return Blocks(words_in_block(k), lambda: instances_used(tiles, level, tiles.residuals), fill, opened)


def _of_deliveries(k: LinkSparse, deliveries: Deliveries, tile: ResidentTile, left: Words) -> Blocks:
    """Blocks of deliveries of what the parent of `k` stores; `left`: dense words of those of which features leave something."""
    partly = k.dense.link.compressed and not tile.safs.plan.plain[k.dense.link.tensor]

    def opened(filling: Filling) -> Count:
        # a part of a window is not among the tiles that `left` asks for
        return ops.ratio(left, deliveries.words) * (filling.opened if partly else deliveries.times)

    return _blocks(k, lambda: _filling(k, deliveries, tile), opened)


def _filling(k: LinkSparse, deliveries: Deliveries, tile: ResidentTile) -> Filling:
    """All portions of the deliveries, as the parent of `k` stores them."""
    block, portions = words_in_block(k), deliveries.portions
    if not k.dense.link.compressed:
        return Filling(deliveries.words, ops.total(p.times * whole_blocks(p.words, block) for p in portions), deliveries.times)
    whole = tile.words_under(deliveries.cover)
    filled = [_packed(whole, p.words, block) for p in portions]
    return Filling(
        *(ops.total(p.times * part for p, part in zip(portions, column, strict=True)) for column in zip(*filled, strict=True))
    )


def _packed(tile: TileWords, words: Words, block: float) -> Filling:
    """Non-zeros of a delivery of so many words of a tile.

    What children have in common, but are sent each, fills blocks as it comes. A part of a tile, where the density model asks for
    its place, has its non-zeros independently of each other.
    """
    model, size = tile.model, ops.minimum(words, tile.size)
    mean, again = model.mean(size, tile.sides), ops.ratio(words, size)
    blocks, empty = model.blocks(size, tile.sides, block), model.empty(size, tile.sides)
    if model.placed or model.produced:
        part = size < tile.size
        alone = (1.0 - mean / ops.maximum(size, 1.0)) ** size
        empty = ops.where(part, alone, empty)
        blocks = ops.where(part, ops.minimum(mean, (mean + (block - 1) / 2 * (1.0 - alone)) / block), blocks)
    return Filling(mean * again, ops.maximum(blocks, 1.0 - empty) + mean * (again - 1.0) / block, 1.0 - empty)
