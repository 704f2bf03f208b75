"""Sliding windows: words of one tile that stay unequally long, in groups by the length of their stay.

A window slides where two loops move the same axis of a tensor (2*p + r): every step of the outer one replaces a part of the tile.
A word that enters stays for 1, 2, ... steps (visits), and skips that look at all a word is used for see more the longer it stays.
"""

from __future__ import annotations

from dataclasses import dataclass

from sparseloop.model import ops
from sparseloop.model.plan import Link
from sparseloop.model.traffic.stays import child_tile
from sparseloop.model.traffic.tiles import Cover, Tiles
from sparseloop.model.units import Count, Flag, Share, Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Words that stay for a number of steps of a sliding window."""

    delivered: Share
    """Their share of the delivered words."""
    used: Share
    """Their share of the words in use at a random step: delivered, weighted by the length of the stay."""
    cover: Cover
    """The steps of their stay."""


def windows(tiles: Tiles, link: Link) -> list[Window]:
    """The groups of a link's words by length of stay, 1 step first; its window slides along `sliding_slots`."""
    return tiles.once(("windows", link.index), lambda: _Stays(tiles, link).windows())


def sliding_slots(tiles: Tiles, link: Link) -> list[int]:
    """Temporal loops that move an axis which other loops move, too; none where nothing stays."""
    if link.to_compute or link.no_reuse or tiles.plan.plain[link.tensor]:
        return []
    shared = [{loop.slot for loop in axis} for axis in tiles.plan.moves[link.tensor] if len(axis) > 1]
    return [slot for slot in link.temporal if any(slot in slots for slots in shared)]


class _Stays:
    """Lengths of stay of the words of one link."""

    def __init__(self, tiles: Tiles, link: Link) -> None:
        self.tiles, self.link = tiles, link
        self.axes = tiles.plan.moves[link.tensor]
        self.slots = sliding_slots(tiles, link)
        self.sweeps = {slot: self._sweep(slot) for slot in self.slots}

    def windows(self) -> list[Window]:
        """The groups, 1 step first."""
        moving, longest = self._moving()
        shares = self._shares(moving, longest)
        used = ops.total(share * visits for visits, share in enumerate(shares, start=1))
        return [
            Window(
                delivered=share,
                used=ops.ratio(share * visits, used),
                cover=self.tiles.partial_cover(
                    f"window{self.link.index}:{visits}", {s: ops.one_unless(moving[s], visits) for s in self.slots}
                ),
            )
            for visits, share in enumerate(shares, start=1)
        ]

    def _moving(self) -> tuple[dict[int, Flag], int]:
        """Where each sliding loop is the innermost moving one, and the longest stay of all mappings of the batch."""
        bounds, longest = self.tiles.bounds, 1
        moving: dict[int, Flag] = {}
        moved: Flag = False
        for slot in self.link.temporal:
            if slot in self.link.relevant:
                if slot in self.slots:
                    moving[slot] = ops.both(ops.negate(moved), bounds[slot] > 1)
                    stays = ops.where(moving[slot], self._longest(slot), 1)
                    longest = max(longest, ops.peak(stays))
                    self.tiles.peaks.append((stays, longest))
                moved = ops.either(moved, bounds[slot] > 1)
        return moving, longest

    def _shares(self, moving: dict[int, Flag], longest: int) -> list[Share]:
        """Share of the words that stay 1, 2, ... visits.

        h_v = A_v - 2 A_(v+1) + A_(v+2), A_v = (n - v + 1) * words common to v consecutive windows, n the mean number
        of steps of one sweep.
        """
        shares: list[Share] = [1.0] + [0.0] * (longest - 1)
        for slot in self.slots:
            common = [self._common(slot, v) for v in range(1, longest + 3)]
            words = common[0] - common[1]
            for v in range(longest):
                h = ops.ratio(common[v] - 2 * common[v + 1] + common[v + 2], words)
                shares[v] = ops.where(moving[slot], h, shares[v])
        return shares

    def _axis(self, slot: int) -> int:
        return next(a for a, axis in enumerate(self.axes) if any(i == slot for i, _ in axis))

    def _common(self, slot: int, visits: int) -> Words:
        """A_v of a sweep along one loop."""
        axis = self._axis(slot)
        shift = ops.absolute(self.tiles.step(self.link.tensor, axis, slot)) * (visits - 1)
        common = self.tiles.overlap(self.link.tensor, axis, child_tile(self.tiles, self.link), shift)
        return ops.maximum(0, self.sweeps[slot] - visits + 1) * common

    def _sweep(self, slot: int) -> Count:
        """Mean number of steps of the window that starts with loop `slot`.

        A sweep goes on where an outer loop moves the tile on by the same step; exact if no sweep is shorter than a stay.
        """
        tiles, link = self.tiles, self.link
        start = link.temporal.index(slot)
        goes_on: Count = 0.0
        for position in range(start, len(link.temporal)):
            same: Flag = True
            for axis in range(len(self.axes)):
                shift = tiles.step(link.tensor, axis, link.temporal[position]) - ops.total(
                    (tiles.bounds[h] - 1) * tiles.step(link.tensor, axis, h) for h in link.temporal[:position]
                )
                same = ops.both(same, shift == tiles.step(link.tensor, axis, slot))
            advances = (tiles.bounds[link.temporal[position]] - 1) * tiles.product(link.temporal[position + 1 :])
            goes_on = goes_on + ops.zero_unless(same, advances)
        steps = tiles.product(link.temporal[start:])
        return steps / (steps - goes_on)

    def _longest(self, slot: int) -> Count:
        """Most visits of a word that enters along one loop."""
        axis = self._axis(slot)
        cover, bounds = child_tile(self.tiles, self.link), self.tiles.count
        extent = 1 + ops.total(abs(c) * self.tiles.stride[i] * (bounds(cover[i], i) - 1) for i, c in self.axes[axis] if cover[i])
        step = ops.absolute(self.tiles.step(self.link.tensor, axis, slot))
        return ops.ceil(ops.minimum(self.sweeps[slot], (extent + step - 1) // step))
