"""The brute-force walker: executes a loop nest point by point on real tensors and counts every event.

It uses no covers, no probabilities and no closed forms, so it is independent of the model. `Walker(...)` finds once which word is
held where and for how long (`residency`); `walk(data)` evaluates every check on given non-zero patterns and counts (`count`). The
machine is the one that docs/concepts describes. Decisions where that description leaves a choice:

* First touch is the first event in time of the pair (instance, word): of the parent for its reads, of the child for
  its fills. With every multiple a product of bounds this is "all irrelevant loops at index 0".
* A shared event needs, for each condition on its own, one user for whom it holds (not one user for whom all hold).
* The users of a delivered word are the points that use it; what a check reads is the leader at *all* points of the
  receiving instances while the word is resident. Members of one multicast group may hold a word for different times.
* A block access (B words) covers aligned pieces of the follower's loops between child and parent, temporal or spatial,
  innermost first; the last piece of a loop may be shorter. A spatial skip decides per instance and is never widened.
* `implied_skips=False` drops every inherited condition, also the compute skip of outputs.
* Gates of results gate no computes: only operands can.
* An entry of a metadata rank is known by the coordinate of its first word: overlapping windows share entries, which are there
  if one of those that use them has them. F of a UOP fiber counts the entries it really has (fewer in a last pass).
* Entries that travel with a delivery are delivered when they enter the child's working set, like words. A rank of an
  uncompressed list that merges loops of both sides of a boundary travels with the delivery, and so do the ranks inside it.
* A looked-at entry of an own rank stays current until an instance of the level stops using it. Inherited conditions
  never apply to metadata; a local condition (skip or gate) applies if the leader's tile is the same for the whole fiber.
* A rank without loops has fibers of one element, with the entries and offsets of such a fiber. What leads straight to what
  is delivered (no own loop inside it) goes with the delivery, same classes; with words for the compute level the last rank only.
* Timeloop's reading: ranks without loops cost nothing, but the one entry in the lowest compressed rank of a one-word tile.
* `skip_ahead`: looks are ordered by fiber visit, time, coordinate; an entry is jumped over if the leader had none since
  the follower's previous entry.
* `compress` counts at the parent, and like `decompress` only between two storage levels.
* Metadata fills of a child follow the child's own ranks.
* Padding (coordinates outside a tensor's true extent) is zero and known to be: its points compute, but its words are
  neither kept nor moved, have no metadata, count in no total, and tell no deliveries apart.
* Block accesses: the actual words of one delivery share blocks, and every delivery starts a new one. A delivery is what
  an instance of the parent sends in one step to all its children (words for several of them once), or gets back as their
  stays end; what a level is filled with is what one instance of it receives. At the compute link all reads, and all
  updates, of one instance share blocks.
* Words beyond a level's room are those beyond it in every visit (step of an instance): what was filled and is in the
  tile still. They are streamed at each use, but for one use of those that arrive in the visit: what fills the level
  serves it. (The room keeps as much as it can of what stays for the next visit.) Instances that hold the same words at
  once are sent them together. How often a word is used is left to the caller.
* Compute cycles: lanes that pack nothing even out. In waves a step of the loops outside the fanout takes ceil(active
  positions of one parent / instances) times its longest position, at least 1, and nothing without active ones; parents
  are averaged. A position is active where all skips of operands decided at its level or further out leave some of it;
  followers that are results drop nothing.
* Waiting for tiles (`serial`): what arrives at the instances below one instance of the outermost parent in one step is one load,
  which takes as long as the fullest port of a parent or a child; loads follow one another. Words and entries count with those
  that are gated; entries when the first point that uses them comes. Results are drained, as long as their parents take to write
  them, before anything is loaded. Metadata of results that wait is not walked.
* A systolic network is filled again in every step in which something kept below it gets a new tile, however empty; positions
  packed in waves fill it again in every wave, at least once.
* Lanes that wait (`sync`): an interval lasts as long as its fullest lane, of which what lies inside evens out; a step as
  long as any other where every condition holds in some lane. Parents are averaged. Work that is dealt out counts in whole steps.
* Mergers: words of one copy of the result that differ along the last axis only are a fiber; what of it arrives for the same
  part of the contraction is a list, which is there if it has a contribution. Where c lists of a fiber are there, all its words
  pass ceil(log_radix c) times, at least once, as if merging made them no fewer.
* A result without a given pattern is made: a word counts as stored from its first contribution on that reached the
  copy. Level by level (`Sparse.partials`) a copy is filled with what is there and returns all of it (`whole`), or what it added
  to (`changed`), or starts empty and its parent adds (`add`; a read is then a word that arrives where there is one, a fill
  is absent). Entries and fibers are returned like words: if something under them was added to; entries of own ranks one by one.
  Leaders use the finished result. What a level holds of it is what its copy has in the end; where copies start empty, what one
  stay adds.
"""

from sparseloop.validation.walker.count import Walker
from sparseloop.validation.walker.records import (
    Accesses,
    Beyond,
    Machine,
    Ports,
    RankUnits,
    Waits,
    Walk,
    WalkedCounts,
    WalkedTensor,
)

__all__ = ["Accesses", "Beyond", "Machine", "Ports", "RankUnits", "Waits", "Walk", "WalkedCounts", "WalkedTensor", "Walker"]
