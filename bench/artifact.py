"""`python bench/artifact.py artifact.jsonl.gz OUT KIND`: studies of the MICRO'22 artifact as cases for `bench/mapper.py`.

`fig15`: four ResNet-50 layers, four densities of the weights, six tensor cores with their dataflows, the sizes of the tiles free.
`fig15-free`: only who keeps what. `table7`: AlexNet conv1 to conv5 on Eyeriss, dense and sparse, its dataflow with free sizes.
The mappings of the artifact are those to compare with.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

BYPASS = """\
architecture_constraints:
  targets:
  - {{target: SMEM, type: bypass, keep: [B], bypass: [Z]}}
  - {{target: RF, type: bypass, keep: [Z], bypass: [A, B]}}
  - {{target: LRF, type: bypass, keep: [{kept}], bypass: [{passed}]}}
"""
STC = """\
  - {target: DRAM, type: temporal, permutation: K, factors: K=1}
  - {target: SMEM, type: temporal, permutation: K, factors: K=1}
  - {target: SMEM, type: spatial, factors: K=1 N=1 M<=4, permutation: NKM, split: 0}
  - {target: RF, type: temporal, factors: M=1 N=1, permutation: NKM}
  - {target: RF, type: spatial, factors: K<=64 M=16 N=1, permutation: KMN, split: 1}
  - {target: LRF, type: temporal, factors: K=1 M=1, permutation: NKM}
"""
DSTC = """\
  - {target: DRAM, type: temporal, factors: K=1}
  - {target: SMEM, type: temporal, factors: K=1}
  - {target: SMEM, type: spatial, factors: K=1, permutation: NMK, split: 0}
  - {target: RF, type: temporal, factors: M=1 N=1, permutation: KMN}
  - {target: RF, type: spatial, factors: M=1 N=1 K=1}
  - {target: LRF, type: temporal, factors: K=1}
  - {target: LRF, type: spatial, factors: M=16 N=16 K=1, permutation: NMK, split: 1}
"""
EYERISS = """\
architecture_constraints:
  targets:
  - {target: psum_spad, type: bypass, keep: [Outputs], bypass: [Inputs, Weights]}
  - {target: weights_spad, type: bypass, keep: [Weights], bypass: [Inputs, Outputs]}
  - {target: ifmap_spad, type: bypass, keep: [Inputs], bypass: [Weights, Outputs]}
  - {target: DummyBuffer, type: bypass, bypass: [Inputs, Outputs, Weights]}
  - {target: DummyBuffer, type: spatial, split: 4, permutation: NPQR SCM, factors: P=1 Q=1 R=1 S=0 N=1}
  - {target: shared_glb, type: spatial, split: 7, permutation: NCPRSQM, factors: C=1 P=1 R=1 S=1 N=1}
  - {target: psum_spad, type: temporal, permutation: NCPQRS M, factors: C=1 R=1 S=1 P=1 Q=1}
  - {target: weights_spad, type: temporal, permutation: NMPQS CR, factors: M=1 P=1 Q=1 S=1 R=0}
  - {target: ifmap_spad, type: temporal, permutation: NMCPQRS, factors: N=1 M=1 C=1 P=1 Q=1 R=1 S=1}
  - {target: DummyBuffer, type: temporal, permutation: NMCPQRS, factors: N=1 M=1 C=1 P=1 Q=1 R=1 S=1}
  - {target: shared_glb, type: temporal, permutation: QRSC PNM, factors: Q=1 R=1 S=1 P=0}
  - {target: DRAM, type: temporal, permutation: RSP CMNQ, factors: R=1 S=1 P=1}
"""


def constraints(design: str, kind: str) -> str:
    """DSTC computes outer products and holds both operands, the others hold A alone."""
    outer = design.startswith("DSTC")
    text = BYPASS.format(kept="A, B" if outer else "A", passed="Z" if outer else "B, Z")
    return text if kind == "fig15-free" else text + (DSTC if outer else STC)


def parted(case: dict[str, Any]) -> tuple[dict[str, str], Any]:
    """The input files of a case without its mapping, and the mapping."""
    yaml: Any = YAML(typ="safe")
    files: dict[str, str] = {}
    mapping = None
    for name, text in case["inputs"].items():
        whole = yaml.load(text)
        mapping = whole.pop("mapping", mapping)
        if whole:
            files[name] = json.dumps(whole)
    return files, mapping


def main(corpus: Path, out: Path, kind: str) -> None:
    """Writes a folder a case."""
    study = kind.partition("-")[0]
    with gzip.open(corpus, "rt") as lines:
        cases = [json.loads(line) for line in lines if f'"{study}/' in line]
    known: list[dict[str, Any]] = []
    for case in cases:
        place, name = case["id"].split("/")[-2:]
        folder = out / f"{place}-{name}"
        folder.mkdir(parents=True, exist_ok=True)
        files, mapping = parted(case)
        files["constraints.yaml"] = EYERISS if study == "table7" else constraints(name, kind)
        for file, text in files.items():
            (folder / file).write_text(text)
        known += [{"case": folder.name, "minimize": goal, "mapping": mapping} for goal in ("energy", "edp")]
    (out / "best.json").write_text(json.dumps(known))
    print(f"{len(cases)} cases under {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
