"""Estimates of an installed Accelergy (v0.4): one component is described, the program is run, its tables are read.

Accelergy is no package of PyPI: https://github.com/Accelergy-Project/accelergy. It is found as a command or as a package, runs in
a temporary folder, and uses the plug-ins of the user's own configuration of it.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import final

from sparseloop.energy.components import PJ_PER_MW_SECOND
from sparseloop.energy.estimators import Answer, Attribute, Estimate, Query
from sparseloop.energy.tools.common import DEFAULT_TYPE, DRAM, at_supply, class_of, estimates, tool_attributes
from sparseloop.input.accelergy.summary import read_summary
from sparseloop.input.diagnostics import SpecError
from sparseloop.input.timeloop.sections import ImportLog, Section
from sparseloop.input.timeloop.tables import PriceTables, read_tables
from sparseloop.input.yaml import files as yamlio

NAME = "accelergy"
CONFIDENCE = 0.7
LONGEST_RUN_S = 600
RUN = "from accelergy.accelergy_console import main; main()"
PART, TOP = "part", "system"
REQUIRED = {"storage": ("read", "write"), "compute": ("compute",)}
FORMATS = {"fp16": (5, 10), "bf16": (8, 7), "fp32": (8, 23), "fp64": (11, 52)}
"""Exponent and mantissa of floats, by class or width."""


@final
class Accelergy:
    """The installed Accelergy with its plug-ins."""

    name = NAME
    priority = 0.0

    def missing(self) -> str | None:
        """Why it cannot be asked: it is not installed."""
        return None if command() else "there is no command and no package accelergy (it is not on PyPI: see docs/energy.md)"

    def estimate(self, query: Query) -> Answer | None:
        """What its tables say of an array or of arithmetic; raises `RuntimeError` with what Accelergy says if it fails."""
        called = command()
        if class_of(query) is None or called is None:
            return None
        reply = _reply(called, yamlio.to_yaml(description(query)))
        if reply.failure:
            raise RuntimeError(reply.failure)
        return at_supply(_answer(reply, query), query)


def command() -> tuple[str, ...] | None:
    """How Accelergy is called here: as the command, else by the package; None if there is neither."""
    if found := shutil.which(NAME):
        return (found,)
    package = importlib.util.find_spec(NAME)
    return (sys.executable, "-c", RUN) if package is not None and package.origin else None


# --- the question ---------------------------------------------------------------------------------------------


def description(query: Query) -> Mapping[str, object]:
    """An architecture of version 0.4 with one component."""
    component = {
        "name": PART,
        "class": class_of(query),
        "attributes": _attributes(query),
        "required_actions": list(REQUIRED[query.kind]),
    }
    system = {"technology": f"{query.node_nm:g}nm", "global_cycle_seconds": 1 / query.clock_hz}
    tree = [{"name": TOP, "attributes": system, "local": [component]}]
    return {"architecture": {"version": 0.4, "subtree": tree}}


def _attributes(query: Query) -> dict[str, Attribute]:
    found = tool_attributes(query)
    if query.kind == "storage":
        dram = query.class_name.lower() == DRAM
        kind: dict[str, Attribute] = {"type": str(query.attributes.get("type") or DEFAULT_TYPE)} if dram else {}
        return found | {"datawidth": found["width"]} | kind
    name = query.class_name.lower()
    floating = "bf16" if "bf16" in name else f"fp{query.number('word_bits'):g}" if "fp" in name or "float" in name else ""
    exponent, mantissa = FORMATS.get(floating, (0, 0))
    return ({"exponent": exponent, "mantissa": mantissa} if exponent else {}) | found


# --- the run --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a run gave: tables and who filled them, or why there are none."""

    tables: PriceTables = field(default_factory=PriceTables)
    estimators: str = ""
    failure: str = ""


@cache
def _reply(called: tuple[str, ...], text: str) -> Reply:
    """One run for every question and session: a run may take seconds."""
    with tempfile.TemporaryDirectory(prefix="sparseloop-") as name:
        folder = Path(name)
        (folder / "architecture.yaml").write_text(text, encoding="utf-8")
        outputs = ("ERT", "ART", "ERT_summary", "ART_summary")
        line = (*called, "architecture.yaml", "-o", "out", "-p", "12", "-f", *outputs)
        try:
            done = subprocess.run(
                line, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, timeout=LONGEST_RUN_S, check=False
            )
        except subprocess.TimeoutExpired:
            return Reply(failure=f"no answer after {LONGEST_RUN_S} s")
        except OSError as error:
            return Reply(failure=f"cannot be run: {error.strerror}")
        if done.returncode:
            return Reply(failure=f"exit status {done.returncode}: {_told(done.stderr.decode(errors='replace'))}")
        try:
            return _read(folder / "out")
        except SpecError as error:
            return Reply(failure=f"its tables cannot be read: {error.diagnostics[0].message}")


def _told(stderr: str) -> str:
    """The lines that Accelergy marks as errors, else the last ones."""
    lines = [line.strip().removeprefix("||").strip() for line in stderr.splitlines()]
    lines = [line for line in lines if line.strip("=- ")]
    marked = [line.partition("ERROR")[2].strip(" :-") for line in lines if line.startswith("ERROR")]
    said = [line for line in marked if line.strip("=. ") and "caused Accelergy to crash" not in line]
    return " ".join(said or lines[-2:]) or "it says nothing"


def _read(folder: Path) -> Reply:
    """ERT and ART, and of the summaries the names of the plug-ins."""
    files = [folder / name for name in ("ERT.yaml", "ART.yaml")]
    lacking = [file.name for file in files if not file.is_file()]
    if lacking:
        return Reply(failure=f"it wrote no {' and no '.join(lacking)}")
    data, source = yamlio.load_files(files)
    log = ImportLog(source=source)
    tables = read_tables(Section(data, (), log))
    log.raise_errors()
    return Reply(tables=tables, estimators=_estimators(folder))


def _estimators(folder: Path) -> str:
    """The plug-ins that were asked, by the summaries if there are any."""
    files = [file for name in ("ERT", "ART") if (file := folder / f"{name}_summary.yaml").is_file()]
    if not files:
        return ""
    told = read_summary(files, ())
    return ", ".join(dict.fromkeys(row.source.rpartition(": ")[2] for row in (*told.rows, *told.areas)))


# --- the answer -----------------------------------------------------------------------------------------------


def _answer(reply: Reply, query: Query) -> Answer:
    """The numbers of the tables: pJ, um2, and the leakage of a cycle in pJ as mW."""
    if "dummy" in reply.estimators.lower():
        raise RuntimeError(f"only placeholder values ({reply.estimators}): no plug-in of it knows {query.class_name}")
    source = f"{reply.estimators or 'ERT'} of the installed accelergy"
    energies = {name: entry.value for name, entry in reply.tables.energy.get(PART, {}).items()}
    leak_pj = energies.pop("leak", None)
    area = reply.tables.area.get(PART)
    leak_mw = None if leak_pj is None else leak_pj * query.clock_hz / PJ_PER_MW_SECOND
    return Answer(
        energy_pj=estimates(energies, source, CONFIDENCE),
        area_um2=None if area is None else Estimate(value=area.value, source=source, confidence=CONFIDENCE),
        leak_mw=None if leak_mw is None else Estimate(value=leak_mw, source=source, confidence=CONFIDENCE),
    )
