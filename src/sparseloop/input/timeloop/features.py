"""Timeloop's `sparse_optimizations` become our formats and sparse features."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from sparseloop.input.notation import RANK_FORMATS
from sparseloop.input.timeloop.directives import known_tensors, target_level
from sparseloop.input.timeloop.flattened_dimensions import flattened_ranks
from sparseloop.input.timeloop.levels import Machine
from sparseloop.input.timeloop.problem import Problem
from sparseloop.input.timeloop.sections import Plain, Section, as_names

SAF_KINDS = {"skipping": "skip", "gating": "gate", "skipping_spatial": "spatial_skip", "spatial_skipping": "spatial_skip"}
COMPUTE_KINDS = {
    "gating": "gate",
    "gate_on_zero_operand": "gate",
    "skipping": "skip",
    "skip_on_not_aligned_operands": "skip",
}
_IGNORED = {"compression_rate": "parsed but not used by Timeloop"}


@dataclass(kw_only=True)
class LevelFeatures:
    """What one level has, as plain data."""

    formats: dict[str, Plain] = field(default_factory=dict[str, Plain])
    safs: dict[str, list[Plain]] = field(default_factory=dict[str, list[Plain]])
    compute: set[str] = field(default_factory=set[str])
    choices: int = 0

    @property
    def data(self) -> dict[str, Plain]:
        """`LevelSparseSpec` as plain data."""
        return {"formats": self.formats, **self.safs, **dict.fromkeys(self.compute, True)}


def read_features(section: Section, problem: Problem, machine: Machine, unclear: Collection[str] = ()) -> dict[str, Plain]:
    """`Spec.sparse` as plain data, level by level.

    `unclear`: dimensions of flattened variables of which one loop became several; a rank that takes 'one loop' of
    such a variable would take only a part of it.
    """
    levels = dict[str, LevelFeatures]()
    for target in section.sections("targets"):
        name = target_level(target, machine)
        if name is None:
            continue
        level = levels.setdefault(name, LevelFeatures())
        if name in machine.storage:
            _read_formats(target, level, problem, machine.metadata[name])
            _check_clear(target, level, problem, unclear)
            _read_safs(target, level, problem)
        else:
            _read_compute(target, level)
        target.unused(what="sparse_optimizations")
    section.unused({"version": "format"}, "sparse_optimizations")
    return {name: level.data for name, level in levels.items()}


def _check_clear(target: Section, level: LevelFeatures, problem: Problem, unclear: Collection[str]) -> None:
    for tensor, record in level.formats.items():
        if set(problem.tensors[tensor]) & set(unclear) and any(not rank["ranks"] for rank in record["ranks"]):
            message = f"the format of '{tensor}' has ranks of one loop each, but a flattened loop became several"
            target.log.error(target.key_path("representation_format"), message, "name the ranks: flattened-rankIDs")


# --- formats ---------------------------------------------------------------------------------------------


def _read_formats(target: Section, level: LevelFeatures, problem: Problem, metadata: tuple[int, int]) -> None:
    form = target.section("representation_format")
    if form is None:
        return
    for space in form.sections("data_spaces"):
        name = space.required("name", "a format")
        if name not in problem.tensors:
            known_tensors(space, "name", problem.tensors)
            continue
        if name in level.formats:
            space.log.error(space.path, f"a second format of '{name}' at this level")
        order = (space.text("rank_application_order") or "outer_to_inner").replace("-", "_")
        if order not in ("outer_to_inner", "inner_to_outer"):
            space.log.error(space.key_path("rank_application_order"), f"unknown order '{order}'")
        given = space.sections("ranks")
        ranks = [_rank(rank, problem, metadata) for rank in given]
        if "representation-format" in target.data and any("flattened_rankIDs" in rank.data for rank in given):
            message = "'flattened_rankIDs' is read, though Timeloop v3 skips this spelling (it writes flattened-rankIDs)"
            space.log.note(space.path, message)
        if any(rank["kind"] in ("CP", "RLE", "UOP") and not (rank["metadata_bits"] or rank["payload_bits"]) for rank in ranks):
            message = f"the metadata of '{name}' has no width here and counts 0 bits, as in Timeloop"
            space.log.note(space.path, f"{message}: set metadata_storage_width and metadata_datawidth of the level")
        if not ranks:
            space.log.error(space.path, f"the format of '{name}' has no ranks")
        level.formats[name] = {"ranks": ranks, "order": order, "automatic": False}
        space.unused(_IGNORED, "a format")
    form.unused(what="a format")


def _rank(rank: Section, problem: Problem, metadata: tuple[int, int]) -> dict[str, Plain]:
    """One rank; widths are rounded as Timeloop rounds them."""
    kind = rank.required("format", "a rank").upper()
    if kind and kind not in RANK_FORMATS:
        rank.log.error(rank.key_path("format"), f"unknown format '{kind}'", f"known: {', '.join(RANK_FORMATS)}")
    kind = kind if kind in RANK_FORMATS else "U"
    storage, default = metadata
    given = {key: rank.integer(f"{key}_word_bits") for key in ("metadata", "payload")}
    result: dict[str, Plain] = {"kind": kind, "ranks": _groups(rank, problem)}
    for key, value in given.items():
        bits = default if value is None or kind == "UB" else value
        if kind == "B" and key == "metadata" and value is None:
            bits = 1
        result[f"{key}_bits"] = _width(rank, f"{key}_word_bits", bits, storage, value is not None and kind != "UB")
    rank.unused(_IGNORED, "a rank format")
    return result


def _width(rank: Section, key: str, bits: int, storage: int, given: bool) -> int:
    """A width that does not divide the storage width is raised to the next divisor below twice itself."""
    if bits == 0:
        return 0
    width = bits
    if storage % bits:
        width = next((b for b in range(bits, min(2 * bits, storage + 1)) if storage % b == 0), 2 * bits)
    if width > storage:
        message = f"a metadata word of {width} bits does not fit the metadata storage of {storage} bits"
        rank.log.error(rank.key_path(key), message, "set metadata_storage_width of the level")
    elif given and width != bits:
        rank.log.note(rank.key_path(key), f"{key} {bits} does not divide the storage width {storage}: taken as {width}")
    return width


def _groups(rank: Section, problem: Problem) -> list[tuple[str, ...]]:
    """Groups of flattened ranks; variables of a flattened problem stand for their dimensions."""
    result = list[tuple[str, ...]]()
    path = rank.key_path("flattened_rankIDs")
    for group in rank.items("flattened_rankIDs"):
        names = tuple(as_names(group, path, rank.log))
        for name in names:
            if name not in problem.loops:
                rank.log.error(path, f"unknown dimension '{name}'")
        result.append(flattened_ranks(names, problem.flattened))
    return result


# --- features --------------------------------------------------------------------------------------------


def _read_safs(target: Section, level: LevelFeatures, problem: Problem) -> None:
    kind: str | None = None
    for entry in target.sections("action_optimization"):
        name = (kind if kind and not entry.has("type") else entry.required("type", "an action optimization")).replace("-", "_")
        if name == "position_skipping":
            _position_skip(entry, level, problem)
            continue
        if name and name not in SAF_KINDS:
            hint = "gating, skipping or skipping-spatial"
            entry.log.error(entry.key_path("type"), f"unknown action optimization '{name}'", hint)
        if name not in SAF_KINDS:
            continue
        kind = name
        options = entry.sections("options") or [entry]
        if len(options) > 1:
            level.choices += 1
        if len(options) > 1 and SAF_KINDS[kind] == "spatial_skip":
            entry.log.error(entry.key_path("options"), "a spatial skip cannot have alternatives")
        choice = level.choices if len(options) > 1 else None
        for saf in _options(options, problem):
            level.safs.setdefault(SAF_KINDS[kind], []).append(saf | ({"choice": choice} if choice else {}))
        entry.unused(what="an action optimization")


def _position_skip(entry: Section, level: LevelFeatures, problem: Problem) -> None:
    """Position skipping of dual-side tensor cores as a spatial skip of the tensor on itself."""
    for name in known_tensors(entry, "target", problem.tensors):
        level.safs.setdefault("spatial_skip", []).append({"follower": name, "leaders": [name]})
    entry.take("condition_on")
    entry.log.note(entry.path, "position-skipping is taken as a spatial skip of the tensor on itself")
    entry.unused(what="an action optimization")


def _options(options: list[Section], problem: Problem) -> Iterator[dict[str, Plain]]:
    for option in options:
        follower = known_tensors(option, "target", problem.tensors)
        leaders = known_tensors(option, "condition_on", problem.tensors)
        if not option.has("target"):
            option.log.error(option.path, "an action optimization needs a target")
        if not leaders:
            option.log.note(option.path, "an action optimization without condition-on never fires and was left out")
        elif follower:
            yield {"follower": follower[0], "leaders": list(leaders)}
        option.unused({"type": "read with the entry", "options": "read with the entry"}, "an option")


def _read_compute(target: Section, level: LevelFeatures) -> None:
    for entry in target.sections("compute_optimization"):
        name = entry.required("type", "a compute optimization").replace("-", "_")
        if name in COMPUTE_KINDS:
            level.compute.add(COMPUTE_KINDS[name])
        elif name:
            entry.log.error(entry.key_path("type"), f"unknown compute optimization '{name}'", "gating or skipping")
        entry.unused(what="a compute optimization")
