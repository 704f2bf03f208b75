"""The approximations of the model that were measured against the walker, and which of them a result rests on.

A row here is all there is to add: `docs/accuracy.md` and the warning of `eval` follow (`python -m tests.property.accuracy_page`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sparseloop.model.barriers import barrier_level
from sparseloop.model.cost.cost import Cost
from sparseloop.model.cost.known_blocks import known_blocks
from sparseloop.model.density import CellModel, Uniform
from sparseloop.model.plan import AxisLoops, Link, Plan
from sparseloop.model.sparse_traffic import LinkSparse
from sparseloop.model.traffic.deliveries import sent
from sparseloop.model.traffic.stays import child_tile
from sparseloop.model.units import Count

NOTICED_ABOVE = 0.05
"""A result that rests on an approximation with a larger worst case says so."""
MANY = 20
"""Blocks of an instance, of which the last one no longer matters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approximation:
    """One approximation: the error is |model - walker| over the counts it concerns, divided by the walker's sum of all counts."""

    name: str
    """As the random comparison with the walker names it."""
    what: str
    """What is taken instead of the exact number."""
    mean: float
    worst: float
    specifications: int
    command: str
    applies: Callable[[Plan, Cost], bool]
    """True if the numbers of a single mapping rest on it."""


def rests_on(plan: Plan, cost: Cost) -> tuple[Approximation, ...]:
    """The approximations behind the cost of a single mapping."""
    return tuple(one for one in APPROXIMATIONS if one.applies(plan, cost))


def notices(plan: Plan, cost: Cost) -> Iterator[str]:
    """One line if a cost rests on approximations whose worst case is large."""
    large = [one for one in rests_on(plan, cost) if one.worst > NOTICED_ABOVE]
    if large:
        told = "; ".join(f"{one.name} (mean {one.mean:.1%}, worst {one.worst:.0%})" for one in large)
        yield f"counts rest on an approximation: {told}: docs/accuracy.md"


# --- what a design has --------------------------------------------------------------------------------------


def _draws(plan: Plan) -> bool:
    """True if something depends on where the non-zeros of random tensors lie."""
    sparse = plan.sparse
    used = sparse.safs or sparse.compute_skip or sparse.compute_gate or any(form.compressed for form in sparse.formats.values())
    models = [tensor.density for tensor in plan.einsum.tensors if not tensor.output]
    return bool(used) and any(not model.deterministic and 0 < float(model.density) < 1 for model in models)


def _imperfect(plan: Plan, cost: Cost) -> bool:
    return _draws(plan) and not cost.dense.perfect


def _cells_imperfectly(plan: Plan, cost: Cost) -> bool:
    cells = any(isinstance(tensor.density, CellModel) for tensor in plan.einsum.tensors)
    return cells and _imperfect(plan, cost)


def _jumping(plan: Plan, cost: Cost) -> bool:
    return _draws(plan) and any(saf.intersection == "skip_ahead" for saf in plan.sparse.safs)


def _ending_early(plan: Plan, cost: Cost) -> bool:
    return _draws(plan) and any(_ends_early(plan, cost, link.dense.link) for link in cost.sparse.links)


def _sharing_blocks(plan: Plan, cost: Cost) -> bool:
    """True if words share blocks that are not equally full."""
    return not plan.sparse.timeloop_reading and any(_shares_blocks(plan, cost, k) for k in cost.sparse.links)


def _shares_blocks(plan: Plan, cost: Cost, k: LinkSparse) -> bool:
    link, imperfect = k.dense.link, not cost.dense.perfect
    if known_blocks(k.resident.safs).tells(link):
        return False
    here, inside = (plan.arch.levels[at].block_size / plan.width(link.tensor, at) for at in (link.parent, link.child))
    if link.to_compute:  # the totals of instances are rounded up from their mean
        events = k.updates if link.output else k.reads
        thinned = imperfect or float(events.actual) < float(events.total)
        return here > 1 and thinned and float(events.actual) < MANY * here * float(cost.dense.instances[link.parent])
    uneven = imperfect or (link.compressed and not plan.plain[link.tensor])
    featured = bool(link.safs) or any(plan.links[at].safs for at in plan.outer[link.index])
    words, tile = float(sent(cost.dense.tiles, k.dense).words), float(k.dense.tile)
    parts = featured and words > here
    return (here > 1 and words < MANY * here and (uneven or parts)) or (inside > 1 and tile < MANY * inside and uneven)


def _ends_early(plan: Plan, cost: Cost, link: Link) -> bool:
    """True if a feature looks at blocks that do not divide the loops whose words they hold."""
    tiles, block = cost.dense.tiles, plan.arch.levels[link.parent].block_size
    if not link.safs or block <= 1:
        return False
    left = block / float(tiles.size(link.tensor, child_tile(tiles, link)))
    for slot in sorted(link.relevant & {*link.temporal, *link.between}, reverse=True):
        bound = float(tiles.bounds[slot])
        if left <= 1:
            return False
        if bound > left:
            return bound % left > 0
        left /= bound
    return False


def _on_a_diagonal(plan: Plan, cost: Cost) -> bool:
    bounds = cost.dense.tiles.bounds
    spread = {slot for slot, loop in enumerate(plan.loops) if loop.spatial and float(bounds[slot]) > 1}
    axes = [axis for of_tensor in plan.axes for axis in of_tensor]
    return _draws(plan) and any(len({plan.loops[s].rank for s, _ in axis if s in spread}) > 1 for axis in axes)


def _moved_by_two(plan: Plan, cost: Cost) -> bool:
    return _draws(plan) and any(_turns_back(plan, cost, link.dense.link) for link in cost.sparse.links)


def _turns_back(plan: Plan, cost: Cost, link: Link) -> bool:
    """True if two temporal loops outside a level move one window into it."""
    bounds = cost.dense.tiles.bounds
    moving = {slot for slot in link.temporal if float(bounds[slot]) > 1}
    windows = [axis for axis in plan.axes[link.tensor] if _is_window(plan, bounds, axis)]
    return not link.to_compute and any(len(moving & {s for s, _ in axis}) > 1 for axis in windows)


def _stored_in_windows(plan: Plan, cost: Cost) -> bool:
    """True if metadata tells where the non-zeros of a random tensor lie whose windows slide."""
    bounds = cost.dense.tiles.bounds
    for link in cost.sparse.links:
        stored, model = link.dense.link.parent_format, plan.einsum.tensors[link.dense.link.tensor].density
        random = not model.deterministic and 0 < float(model.density) < 1
        slides = any(_is_window(plan, bounds, axis) for axis in plan.axes[link.dense.link.tensor])
        if stored is None or not (random and slides):
            continue
        fibers = any(rank.kind in ("B", "UOP") for rank in stored.ranks)
        if fibers or any(saf.follower == link.dense.link.name for saf in plan.sparse.safs):
            return True
    return False


def _stored_in_padding(plan: Plan, cost: Cost) -> bool:
    """True if a tensor has a list whose windows reach into padding."""
    links = [k.dense.link for k in cost.sparse.links if k.dense.link.parent_format is not None]
    return _draws(plan) and any(plan.padded[k.tensor] and not plan.single[k.tensor] for k in links)


def _is_window(plan: Plan, bounds: Sequence[Count], axis: AxisLoops) -> bool:
    """True if loops over several ranks move an axis."""
    return len({plan.loops[slot].rank for slot, _ in axis if float(bounds[slot]) > 1}) > 1


def _taking_turns(plan: Plan, cost: Cost) -> bool:
    """True if positions take turns of which not all is decided by whole tiles that are apart."""
    packing = [level for level in range(plan.compute) if plan.sparse.packs(level)]
    bounds = cost.dense.tiles.bounds
    busy = {loop.level for slot, loop in enumerate(plan.loops) if loop.spatial and float(bounds[slot]) > 1}
    if not any(plan.arch.levels[level].waves and level in busy for level in packing):
        return False
    first, time_saving = min(packing), [saf for saf in plan.sparse.safs if saf.saves_time]
    inside = any(loop.level > first and float(bounds[slot]) > 1 for slot, loop in enumerate(plan.loops))
    further = any(saf.level > first or plan.einsum.tensor(saf.follower).output for saf in time_saving)
    windows = not all(plan.plain)
    left = inside or further or windows or plan.sparse.compute_skip or len({u for saf in time_saving for u in saf.leaders}) > 2
    return len(packing) > 1 or not cost.dense.perfect or (_draws(plan) and left)


def _makes_its_result(plan: Plan) -> bool:
    """True if words of a result are stored, or looked at, as its operands make them."""
    made = {t.name for t in plan.einsum.tensors if t.density.produced and not t.density.deterministic}
    stored = any(name in made and form.has_metadata for (_, name), form in plan.sparse.formats.items())
    return stored or any(made & set(saf.leaders) for saf in plan.sparse.safs)


def _made_of_other_data(plan: Plan, cost: Cost) -> bool:
    random = [t.density for t in plan.einsum.tensors if not t.output and float(t.density.density) < 1]
    return _makes_its_result(plan) and not all(isinstance(model, Uniform) for model in random)


def _made_in_windows(plan: Plan, cost: Cost) -> bool:
    return _makes_its_result(plan) and any(len(axis.terms) > 1 for t in plan.einsum.tensors for axis in t.axes)


def _made_of_parts(plan: Plan, cost: Cost) -> bool:
    operands = [t.ranks for t in plan.einsum.tensors if not t.output]
    contraction = frozenset[str]().union(*operands) - next(t.ranks for t in plan.einsum.tensors if t.output)
    return _makes_its_result(plan) and any(0 < len(contraction & ranks) < len(contraction) for ranks in operands)


def _warned_of(plan: Plan, cost: Cost) -> bool:
    """False: a warning says it when the specification is read, which knows whether the density was asked for."""
    return False


def _made_imperfectly(plan: Plan, cost: Cost) -> bool:
    return _makes_its_result(plan) and not cost.dense.perfect


def _made_in_padding(plan: Plan, cost: Cost) -> bool:
    """True if words of a result, that is not known, are looked up where padding adds nothing to some of them."""
    results = [t for t in plan.einsum.tensors if t.output and not t.density.deterministic]
    made = {t.name for t in results if t.density.produced or float(t.density.density) == 1}
    stored = any(name in made and form.has_metadata for (_, name), form in plan.sparse.formats.items())
    return any(plan.padded) and (stored or any(made & set(saf.leaders) for saf in plan.sparse.safs))


def _made_in_fibers(plan: Plan, cost: Cost) -> bool:
    made = {t.name for t in plan.einsum.tensors if t.density.produced and not t.density.deterministic}
    links = [k for k in plan.links if k.name in made and _adds_again(k, cost)]
    forms = [form for k in links for form in (k.parent_format, k.child_format) if form is not None]
    return any(rank.kind in ("B", "UOP") for form in forms for rank in form.ranks)


def _adds_again(link: Link, cost: Cost) -> bool:
    """Does a loop outside the child come back to the same words?"""
    outside = {*link.temporal, *link.between} - link.relevant
    return any(float(cost.dense.tiles.bounds[slot]) > 1 for slot in outside)


def _waiting_for_random_tiles(plan: Plan, cost: Cost) -> bool:
    return _draws(plan) and any(wait.kind == "load" and float(wait.cycles) > 0 for wait in cost.waits)


def _waiting_lanes(plan: Plan, cost: Cost) -> bool:
    return _draws(plan) and barrier_level(plan) is not None


FUZZ = "make fuzz MINUTES=10"
LONG_FUZZ = "make fuzz MINUTES=33"
MEASURED = "pytest -s tests/property/test_approximations.py"

APPROXIMATIONS: tuple[Approximation, ...] = (
    Approximation(
        name="results of operands that are not uniform",
        what="which slices of n:m, block, even and given operands are not zero is taken as random, only their number as theirs",
        mean=0.0132,
        worst=1.111,
        specifications=1690,
        command=LONG_FUZZ,
        applies=_made_of_other_data,
    ),
    Approximation(
        name="results of sliding windows",
        what="of the words that slices of a window share, the mean number is taken beyond 10 positions",
        mean=0.0005,
        worst=0.737,
        specifications=591,
        command=LONG_FUZZ,
        applies=_made_in_windows,
    ),
    Approximation(
        name="results whose operands share only some summed ranks",
        what="which positions share a word of an operand is taken as independent of which have one",
        mean=0.0017,
        worst=0.737,
        specifications=221,
        command=LONG_FUZZ,
        applies=_made_of_parts,
    ),
    Approximation(
        name="results under imperfect factors",
        what="visits cut short count as whole ones",
        mean=0.031,
        worst=0.45,
        specifications=22,
        command=FUZZ,
        applies=_made_imperfectly,
    ),
    Approximation(
        name="results indexed by sums of ranks",
        what="results of random operands with a sum of ranks as an index are dense",
        mean=0.3163,
        worst=2.394,
        specifications=102,
        command=LONG_FUZZ,
        applies=_warned_of,
    ),
    Approximation(
        name="results and padding",
        what="positions of the contraction that meet padding count like all others, and results of dense operands with padding "
        "are dense from the first visit on; not of given data, up to 2^14 points",
        mean=0.129,
        worst=1.993,
        specifications=75,
        command=FUZZ,
        applies=_made_in_padding,
    ),
    Approximation(
        name="metadata of partial results",
        what="in a second pass over a fiber what the pass has come to counts as if added to all of its words alike",
        mean=0.0004,
        worst=0.45,
        specifications=609,
        command=LONG_FUZZ,
        applies=_made_in_fibers,
    ),
    Approximation(
        name="cells under imperfect factors",
        what="tiles of n:m of n:m, rows, clusters and products have the mean size of the whole and the shorter last ones",
        mean=0.0117,
        worst=0.633,
        specifications=514,
        command=LONG_FUZZ,
        applies=_cells_imperfectly,
    ),
    Approximation(
        name="random patterns with imperfect factors",
        what="all tiles of a kind have the mean size of the whole and the shorter last ones; dense counts stay exact",
        mean=0.0042,
        worst=0.41,
        specifications=895,
        command=LONG_FUZZ,
        applies=_imperfect,
    ),
    Approximation(
        name="access blocks that end early",
        what="features look at whole blocks, also where the loops whose words they hold end inside one",
        mean=0.0024,
        worst=1.111,
        specifications=1761,
        command=LONG_FUZZ,
        applies=_ending_early,
    ),
    Approximation(
        name="accesses of blocks",
        what="how full blocks are, where features leave parts of a delivery, or deliveries or words of instances are not equally "
        "many; not of given data, up to 2^14 points; measured in accesses alone",
        mean=0.0089,
        worst=7.1,
        specifications=2252,
        command=LONG_FUZZ,
        applies=_sharing_blocks,
    ),
    Approximation(
        name="packed positions that are skipped in part",
        what="positions packed in waves: parts of them are skipped independently of each other, padding counts as data; "
        "cycles of the compute level",
        mean=0.0002,
        worst=0.25,
        specifications=1739,
        command=LONG_FUZZ,
        applies=_taking_turns,
    ),
    Approximation(
        name="metadata of windows in padding",
        what="entries of windows that reach into padding are as many as their mean words; not of given data, up to 2^14 points",
        mean=0.021,
        worst=0.376,
        specifications=18,
        command=FUZZ,
        applies=_stored_in_padding,
    ),
    Approximation(
        name="metadata of windows",
        what="an entry that a window keeps from step to step is looked up as if it stayed for the step alone",
        mean=0.0004,
        worst=0.556,
        specifications=2343,
        command=LONG_FUZZ,
        applies=_stored_in_windows,
    ),
    Approximation(
        name="loads of random tiles",
        what="the port with most to do on average limits every load, and children get equally much",
        mean=0.006,
        worst=0.4,
        specifications=263,
        command="pytest -s tests/property/test_waits.py",
        applies=_waiting_for_random_tiles,
    ),
    Approximation(
        name="lanes that wait for each other",
        what="units of work are independent of each other; cycles of the compute level",
        mean=0.024,
        worst=0.335,
        specifications=240,
        command="pytest -s tests/property/test_barriers.py",
        applies=_waiting_lanes,
    ),
    Approximation(
        name="windows shared along a diagonal",
        what="windows of two spatial loops on one axis overlap as boxes do",
        mean=0.0064,
        worst=0.867,
        specifications=375,
        command=LONG_FUZZ,
        applies=_on_a_diagonal,
    ),
    Approximation(
        name="windows moved by two loops",
        what="a word that stays over the step of an outer loop counts as fetched for the inner visits alone",
        mean=0.0013,
        worst=0.332,
        specifications=435,
        command=LONG_FUZZ,
        applies=_moved_by_two,
    ),
    Approximation(
        name="intersection units that jump ahead",
        what="lookups of two random fibers from their densities alone, and cycles of a level that is busy with them: a few "
        "entries are far off, fibers of 128 at most 4 %",
        mean=0.0055,
        worst=0.89,
        specifications=509,
        command=FUZZ,
        applies=_jumping,
    ),
)
