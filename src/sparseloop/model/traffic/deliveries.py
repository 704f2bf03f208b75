"""What crosses a link at once: the words that an instance of the parent sends in one step, or that one of the child receives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sparseloop.model import ops
from sparseloop.model.plan import Link
from sparseloop.model.traffic.dense import LinkTraffic, advances, distinct_positions
from sparseloop.model.traffic.existing_tiles import existing
from sparseloop.model.traffic.stays import child_tile, visit_counts
from sparseloop.model.traffic.tiles import Cover, Tiles, join
from sparseloop.model.units import Count, Words


class Portion(NamedTuple):
    """Deliveries of equally many words."""

    times: Count
    """How often, of all deliveries of one instance."""
    words: Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    """The deliveries of a link at one of its ends: all alike, but where a window slides and only brings what it did not hold."""

    cover: Cover
    """What the words of a full one lie under."""
    portions: tuple[Portion, ...]

    @property
    def words(self) -> Words:
        """Dense words of all of them."""
        return ops.total(p.times * p.words for p in self.portions)

    @property
    def times(self) -> Count:
        """How many bring something."""
        return ops.total(p.times * ops.minimum(1.0, p.words) for p in self.portions)


def sent(tiles: Tiles, counts: LinkTraffic) -> Deliveries:
    """What one instance of the parent sends in one step to all its children, words for several of them once.

    Children that do not share words are sent theirs one after the other, each time as a delivery of its own.
    """
    link = counts.link
    cover = join(child_tile(tiles, link), tiles.covering(link.between))
    own = 1.0 - ops.ratio(counts.forwarded, counts.words_per_child * counts.children)  # the rest comes from neighbours
    if tiles.plan.plain[link.tensor]:
        alone = [i for i in link.unshared if i not in link.relevant]
        times = _deliveries(tiles, link, [*tiles.plan.spatial(link.parent), *alone])
        words = counts.updates if link.output else counts.reads
        return Deliveries(cover=cover, portions=_alike(tiles, tiles.size(link.tensor, cover) * own, words, times))
    rounds = tiles.product(i for i in link.unshared if i not in link.relevant)
    children = distinct_positions(tiles, link) / rounds * own
    if tiles.residuals is not None:
        lanes = [*tiles.plan.spatial(link.parent), *(i for i in link.unshared if i not in link.relevant)]
        words = counts.updates if link.output else counts.reads
        return Deliveries(cover=cover, portions=_sliding(tiles, counts, lanes, (_child_words(tiles, link) * children, words)))
    return Deliveries(cover=cover, portions=tuple(Portion(times, words * children) for times, words in _portions(tiles, link)))


def received(tiles: Tiles, counts: LinkTraffic) -> Deliveries:
    """What one instance of the child receives in one step."""
    link, cover = counts.link, child_tile(tiles, counts.link)
    lanes, words = tiles.plan.spatial(link.child), counts.words_per_child * counts.children
    if not tiles.plan.plain[link.tensor] and tiles.residuals is not None:
        return Deliveries(cover=cover, portions=_sliding(tiles, counts, lanes, (_child_words(tiles, link), words)))
    if not tiles.plan.plain[link.tensor]:
        return Deliveries(cover=cover, portions=_portions(tiles, link))
    times = _deliveries(tiles, link, lanes)
    return Deliveries(cover=cover, portions=_alike(tiles, tiles.size(link.tensor, cover), words, times))


def _deliveries(tiles: Tiles, link: Link, lanes: Iterable[int]) -> Count:
    """Steps at which something is sent to some lanes, over all of them."""
    counts = {slot: tiles.bounds[slot] for slot in lanes} | visit_counts(tiles, link)
    return existing(tiles, counts)


def _alike(tiles: Tiles, full: Words, words: Words, times: Count) -> tuple[Portion, ...]:
    """So many words in deliveries of `full` ones; those at the ends of ranks are taken to have about half as many."""
    if tiles.residuals is None:
        return (Portion(1, full),)
    short = ops.minimum(times, ops.maximum(0.0, (times * full - words) / (full / 2.0)))
    return (Portion(times - short, full), Portion(short, ops.ratio(words - (times - short) * full, short)))


def _sliding(tiles: Tiles, counts: LinkTraffic, lanes: Sequence[int], words: tuple[Words, Words]) -> tuple[Portion, ...]:
    """Windows that are cut short: every lane gets a whole one first, the rest is spread evenly over the later deliveries.

    `words`: of a whole one, and of all.
    """
    first = existing(tiles, {slot: tiles.bounds[slot] for slot in lanes})
    later = ops.maximum(_deliveries(tiles, counts.link, lanes) - first, 0.0)
    whole = ops.where(later > 0, ops.minimum(words[0], words[1] / first), words[1] / first)
    return (Portion(first, whole), Portion(later, ops.ratio(words[1] - first * whole, later)))


def _child_words(tiles: Tiles, link: Link) -> Words:
    """Words of a whole tile of the child."""
    return tiles.size(link.tensor, child_tile(tiles, link))


def _portions(tiles: Tiles, link: Link) -> tuple[Portion, ...]:
    """The first one is a whole tile; where a window slides the others are not."""
    whole = _child_words(tiles, link)
    if link.no_reuse or tiles.plan.plain[link.tensor]:
        return (Portion(1, whole),)
    return (Portion(1, whole), *(Portion(step.times, step.fresh) for step in advances(tiles, link)))
