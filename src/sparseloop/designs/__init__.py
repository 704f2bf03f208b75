"""The designs shipped with the package: single YAML files, or folders of files to be combined."""

from __future__ import annotations

import json
from pathlib import Path

from sparseloop.input.diagnostics import Diagnostic, SpecError, did_you_mean
from sparseloop.input.yaml.nodes import missing_file_hint

FOLDER = Path(__file__).parent


def designs() -> dict[str, Path]:
    """Name to file or folder: 'eyeriss_v1' (a folder), 'eyeriss_v1/conv3' (a file of it), 'matmul' (a file)."""
    found: dict[str, Path] = {}
    for entry in sorted(FOLDER.glob("*")):
        if entry.is_dir() and any(entry.rglob("*.yaml")):
            found[entry.name] = entry
    for file in sorted(FOLDER.rglob("*.yaml")):
        found[file.relative_to(FOLDER).with_suffix("").as_posix()] = file
    return dict(sorted(found.items()))


def path_of(name: str) -> Path:
    """File or folder of one design; `SpecError` with a hint if there is none of that name."""
    known = designs()
    plain = name.removesuffix(".yaml").rstrip("/")
    if plain not in known:
        raise SpecError([Diagnostic(message=f"there is no shipped design '{name}'", hint=did_you_mean(plain, known))])
    return known[plain]


def notebooks() -> dict[str, Path]:
    """Name to file of the shipped Jupyter notebooks."""
    return {file.stem: file for file in sorted((FOLDER / "notebooks").glob("*.ipynb"))}


def notebook_of(name: str) -> Path:
    """The file of one notebook; `SpecError` with a hint if there is none of that name."""
    known = notebooks()
    plain = name.removesuffix(".ipynb")
    if plain not in known:
        hint = did_you_mean(plain, known) or f"notebooks: {', '.join(known)}"
        raise SpecError([Diagnostic(message=f"there is no notebook '{name}'", hint=hint)])
    return known[plain]


def title(path: Path) -> str:
    """A few words about a design: the first sentence of its comment, or of its README; of a notebook its heading."""
    if path.suffix == ".ipynb":
        heading = json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]
        return "".join(heading).partition("\n")[0].lstrip("# ")
    file = path / "README.md" if path.is_dir() else path
    if not file.is_file():
        return ""
    first = file.read_text(encoding="utf-8").partition("\n")[0]
    sentence = first.lstrip("# ").partition(". ")[0].rstrip(". ") if first.startswith("#") else ""
    return sentence if len(sentence) <= 90 else sentence[:87] + "..."


def text_of(path: Path) -> str:
    """The YAML of a file; of a folder its README, or its files one after the other."""
    if path.is_file():
        return path.read_text(encoding="utf-8")
    files = sorted(path.rglob("*.yaml"))
    readme = path / "README.md"
    if readme.is_file():
        return readme.read_text(encoding="utf-8")
    return "\n".join(f"--- # {file.name}\n{file.read_text(encoding='utf-8')}" for file in files)


def machine_files(name: str) -> tuple[Path, ...]:
    """The files of a machine for networks: of a shipped design, or a folder like one, its architecture and its dataflow; of
    another folder all; else the files named (a+b).
    """
    for path in (Path(name),) if Path(name).exists() else (FOLDER / name,):
        machine = (path / "architecture.yaml", path / "dataflow.yaml")
        if all(file.is_file() for file in machine):
            return machine
    if Path(name).is_dir():
        return tuple(sorted(Path(name).glob("*.yaml")))
    return tuple(Path(part) if Path(part).exists() else _shipped_machine(part) for part in name.split("+"))


def _shipped_machine(part: str) -> Path:
    """The file or folder of a shipped design; `SpecError` that also names a file like it, as one may be meant."""
    try:
        return path_of(part)
    except SpecError as error:
        hint = error.diagnostics[0].hint or missing_file_hint(part, FileNotFoundError())
        raise SpecError([Diagnostic(message=f"there is no file, folder or shipped design '{part}'", hint=hint)]) from None
