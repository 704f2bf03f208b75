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
* An entry of a metadata rank is known by the coordinate of its first word: overlapping windows share entries. F of a
  UOP fiber counts the entries it really has (fewer in a last pass).
* Entries that travel with a delivery are delivered when they enter the child's working set, like words. A rank of an
  uncompressed list that merges loops of both sides of a boundary travels with the delivery, and so do the ranks inside it.
* A looked-at entry of an own rank stays current until an instance of the level stops using it. Inherited conditions
  never apply to metadata; a local condition (skip or gate) applies if the leader's tile is the same for the whole fiber.
* The lone (coordinate, value) entry of a one-word tile is read exactly when its word is (same classes).
* `skip_ahead`: looks are ordered by fiber visit, time, coordinate; an entry is jumped over if the leader had none since
  the follower's previous entry.
* `compress` counts at the parent, and like `decompress` only between two storage levels.
* Metadata fills of a child follow the child's own ranks.
"""

from sparseloop.validation.walker.count import Walker
from sparseloop.validation.walker.records import Accesses, Machine, RankUnits, Walk, WalkedCounts, WalkedTensor

__all__ = ["Accesses", "Machine", "RankUnits", "Walk", "WalkedCounts", "WalkedTensor", "Walker"]
