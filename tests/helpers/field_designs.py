"""Designs of the field, reconstructed small: levels, fanouts and a mapping, written in each of the dialects that are read.

Every design runs Z[m, n] = A[m, k] * B[k, n] with the loop over m outside of all buffers and everything else inside, so that
its numbers are known by hand: m * n * k computes; from the outermost memory A is read once, B once, and Z written once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Buffer:
    """A memory level: words of one instance; `lanes` copies of it (and of all further in) lie below the level outside."""

    name: str
    words: int
    lanes: int = 1
    rank: str = "n"
    """What the lanes share out."""


@dataclass(frozen=True, slots=True)
class FieldDesign:
    """One design: what it is called, its dialect, its buffers from the outside in, lanes of compute units, sizes."""

    name: str
    dialect: str
    buffers: tuple[Buffer, ...]
    lanes: int = 1
    rank: str = "k"
    sizes: tuple[int, int, int] = (4, 16, 16)
    bits: int = 8
    density: float = 1.0

    @property
    def shape(self) -> dict[str, int]:
        """Sizes of m, n and k."""
        return dict(zip("mnk", self.sizes, strict=True))

    @property
    def spatial(self) -> list[tuple[str, str, int]]:
        """(level below which it lies, rank, lanes) of every fanout."""
        names = ["Main", *(buffer.name for buffer in self.buffers)]
        found = [(above, b.rank, b.lanes) for above, b in zip(names, self.buffers, strict=False) if b.lanes > 1]
        return found + ([(names[-1], self.rank, self.lanes)] if self.lanes > 1 else [])

    @property
    def inner(self) -> dict[str, int]:
        """What is left of n and k for the innermost buffer's loops."""
        left = {"n": self.sizes[1], "k": self.sizes[2]}
        for _, rank, lanes in self.spatial:
            assert left[rank] % lanes == 0, self.name
            left[rank] //= lanes
        return left

    @property
    def computes(self) -> int:
        """Products."""
        m, n, k = self.sizes
        return m * n * k

    @property
    def main_words(self) -> dict[str, int]:
        """Words that cross the outermost memory."""
        m, n, k = self.sizes
        return {"A": m * k, "B": k * n, "Z": m * n}

    def text(self) -> str:
        """The files as one text."""
        return WRITERS[self.dialect](self)


def _upper(factors: dict[str, int]) -> str:
    return " ".join(f"{rank.upper()}={bound}" for rank, bound in factors.items())


# --- Timeloop -----------------------------------------------------------------------------------------------

_SHAPE = """problem:
  shape:
    name: product
    dimensions: [M, N, K]
    {spaces}:
    - {{name: A, projection: [[[M]], [[K]]]}}
    - {{name: B, projection: [[[K]], [[N]]]}}
    - {{name: Z, projection: [[[M]], [[N]]], {readwrite}}}
  instance: {{M: {m}, N: {n}, K: {k}{more}}}
"""


def _problem(design: FieldDesign, spaces: str, readwrite: str) -> str:
    density = f", densities: {{A: {{distribution: hypergeometric, density: {design.density}}}}}" if design.density < 1 else ""
    return _SHAPE.format(spaces=spaces, readwrite=readwrite, more=density, **design.shape)


def _mapping_v03(design: FieldDesign) -> str:
    lines = [f"- {{target: Main, type: temporal, factors: {_upper({**design.shape, 'n': 1, 'k': 1})}, permutation: KNM}}"]
    for above, rank, lanes in design.spatial:
        factors = _upper({"m": 1, "n": 1, "k": 1, rank: lanes})
        lines.append(f"- {{target: {above}, type: spatial, factors: {factors}, permutation: KNM, split: 3}}")
    for buffer in design.buffers[:-1]:
        lines.append(f"- {{target: {buffer.name}, type: temporal, factors: M=1 N=1 K=1, permutation: KNM}}")
    inner = _upper({"m": 1, **design.inner})
    lines.append(f"- {{target: {design.buffers[-1].name}, type: temporal, factors: {inner}, permutation: KNM}}")
    return "mapping:\n" + "\n".join(lines) + "\n"


def _tree(design: FieldDesign, version: str, memory: Callable[[Buffer, int], str]) -> str:
    """`subtree` and `local`: a node for every fanout, its count in the range of its name."""
    depth, count = 1, 1
    lines = ["architecture:", f"  version: {version}", "  subtree:", "  - name: system", "    local:"]
    lines.append(f"    - {{name: Main, class: DRAM, attributes: {{word-bits: {design.bits}}}}}")
    for buffer in design.buffers:
        if buffer.lanes > 1:
            depth, count = depth + 1, count * buffer.lanes
            pad = "  " * depth
            lines += [f"{pad}subtree:", f"{pad}- name: array{depth}[0..{buffer.lanes - 1}]", f"{pad}  local:"]
        lines.append(f"{'  ' * depth}  - {memory(buffer, count)}")
    unit = f"{{name: Unit, class: intmac, attributes: {{datawidth: {design.bits}, meshX: {count * design.lanes}}}}}"
    if design.lanes > 1:
        depth += 1
        pad = "  " * depth
        lines += [f"{pad}subtree:", f"{pad}- name: lane[0..{design.lanes - 1}]", f"{pad}  local:"]
    return "\n".join([*lines, f"{'  ' * depth}  - {unit}"]) + "\n"


def _v02(design: FieldDesign) -> str:
    def memory(buffer: Buffer, count: int) -> str:
        sizes = f"depth: {buffer.words}, width: {design.bits}, block-size: 1, word-bits: {design.bits}, meshX: {count}"
        return f"{{name: {buffer.name}, class: SRAM, attributes: {{{sizes}}}}}"

    return _tree(design, "0.2", memory) + _problem(design, "data-spaces", "read-write: true") + _mapping_v03(design)


def _v03(design: FieldDesign) -> str:
    def memory(buffer: Buffer, count: int) -> str:
        sizes = f"entries: {buffer.words}, word_bits: {design.bits}, meshX: {count}, reduction_supported: yes"
        return f"{{name: {buffer.name}, class: regfile, attributes: {{{sizes}}}}}"

    return _tree(design, "0.3", memory) + _problem(design, "data_spaces", "read_write: Yes") + _mapping_v03(design)


def _legacy(design: FieldDesign) -> str:
    """The form before the tree: `arithmetic` and `storage`, the innermost first, with instances."""
    count, storage = 1, list[str]()
    for buffer in design.buffers:
        count *= buffer.lanes
        sizes = f"entries: {buffer.words}, instances: {count}, meshX: {count}, word-bits: {design.bits}"
        storage.append(f"  - {{name: {buffer.name}, class: SRAM, {sizes}}}")
    main = f"  - {{name: Main, technology: DRAM, class: DRAM, instances: 1, word-bits: {design.bits}}}"
    total = count * design.lanes
    lines = [f"  arithmetic: {{name: Unit, instances: {total}, meshX: {total}, word-bits: {design.bits}}}", "  storage:"]
    architecture = "\n".join(["architecture:", *lines, *reversed(storage), main]) + "\n"
    return architecture + _problem(design, "data-spaces", "read-write: true") + _mapping_v03(design)


def _v04(design: FieldDesign) -> str:
    nodes, targets = list[str](), list[str]()
    attributes = "{width: W, datawidth: W}"
    nodes.append(f"  - !Component {{name: Main, class: DRAM, attributes: {attributes}}}")
    fanouts = [*((b.lanes, b.rank, f"grid_{b.name}", b) for b in design.buffers), (design.lanes, design.rank, "grid_unit", None)]
    targets.append(f"- {{target: Main, type: temporal, factors: [M={design.sizes[0]}, N=1, K=1], permutation: [K, N, M]}}")
    for lanes, rank, name, buffer in fanouts:
        if lanes > 1:
            nodes.append(f"  - !Container {{name: {name}, spatial: {{meshX: {lanes}}}}}")
            factors = ", ".join(f"{r}={lanes if r.lower() == rank else 1}" for r in "MNK")
            targets.append(f"- {{target: {name}, type: spatial, factors: [{factors}], permutation: [K, N, M]}}")
        if buffer is not None:
            sizes = f"[{{width: W, datawidth: W}}, {{depth: {buffer.words}, technology: 45nm}}]"
            nodes.append(f"  - !Component {{name: {buffer.name}, class: SRAM, attributes: {sizes}}}")
            last = buffer is design.buffers[-1]
            factors = f"N={design.inner['n']}, K={design.inner['k']}" if last else "N=1, K=1"
            targets.append(f"- {{target: {buffer.name}, type: temporal, factors: [M=1, {factors}], permutation: [K, N, M]}}")
    nodes.append("  - !Component {name: Unit, class: intmac, attributes: {datawidth: W}}")
    head = f"variables:\n- {{version: 0.4, WIDE: {int(design.bits > 8)}}}\n- {{W: '16 if WIDE else 8'}}\n"
    body = "architecture:\n  version: 0.4\n  nodes:\n" + "\n".join(nodes) + "\n"
    return head + body + _problem(design, "data_spaces", "read_write: True") + "mapping:\n" + "\n".join(targets) + "\n"


# --- ours and AccelForge's ------------------------------------------------------------------------------------


def _native(design: FieldDesign) -> str:
    levels = [f"  - {{name: Main, class: dram, word_bits: {design.bits}}}"]
    entries = [f"- Main: for m={design.sizes[0]}"]
    for buffer in design.buffers:
        if buffer.lanes > 1:
            levels.append(f"  - {{name: grid_{buffer.name}, fanout: {buffer.lanes}}}")
            entries.append(f"- grid_{buffer.name}: x {buffer.rank}={buffer.lanes}")
        levels.append(f"  - {{name: {buffer.name}, class: sram, capacity: {buffer.words} words, word_bits: {design.bits}}}")
        loops = f"for n={design.inner['n']} k={design.inner['k']}" if buffer is design.buffers[-1] else "keep A B Z"
        entries.append(f"- {buffer.name}: {loops}")
    if design.lanes > 1:
        levels.append(f"  - {{name: grid_unit, fanout: {design.lanes}}}")
        entries.append(f"- grid_unit: x {design.rank}={design.lanes}")
    levels.append("  - {name: Unit, class: mac}")
    density = f"  density: {{A: {design.density}}}\n" if design.density < 1 else ""
    shape = ", ".join(f"{rank}: {size}" for rank, size in design.shape.items())
    held = ["Main: {formats: {A: bitmask}}"] + [f"{b.name}: {{formats: {{A: bitmask}}}}" for b in design.buffers[:-1]]
    last = f"{design.buffers[-1].name}: {{formats: {{A: bitmask}}, skip: [B <- A]}}"
    sparse = f"sparse: {{{', '.join([*held, last])}, Unit: {{skip: true}}}}\n" if design.density < 1 else ""
    return (
        f'workload:\n  einsum: "Z[m,n] = A[m,k] * B[k,n]"\n  shape: {{{shape}}}\n{density}'
        f"architecture:\n  node: 45nm\n  levels:\n" + "\n".join(levels) + "\nmapping:\n" + "\n".join(entries) + f"\n{sparse}"
    )


def _accelforge(design: FieldDesign) -> str:
    """Architecture and workload of AccelForge, which has no mapping here."""
    nodes = ["  - !Memory {name: Main, component_class: lpddr4, size: inf, tensors: {keep: ~Intermediates, may_keep: All}}"]
    for buffer in design.buffers:
        spatial = f", spatial: [{{name: lanes, fanout: {buffer.lanes}}}]" if buffer.lanes > 1 else ""
        size = f"{buffer.words} * {design.bits}"
        nodes.append(f"  - !Memory {{name: {buffer.name}, size: {size}, tensors: {{keep: All}}{spatial}}}")
    if design.lanes > 1:
        nodes.append(f"  - !Container {{name: grid_unit, spatial: [{{name: lanes, fanout: {design.lanes}}}]}}")
    nodes.append("  - !Compute {name: Unit, component_class: IntMAC, actions: [{name: compute, energy: 1e-12, latency: 1e-9}]}")
    m, n, k = design.sizes
    workload = (
        f"workload:\n  rank_sizes: {{M: {m}, N: {n}, K: {k}}}\n  bits_per_value: {{All: {design.bits}}}\n"
        '  einsums:\n  - "Z[m, n] = A[m, k] * B[k, n]"\n'
    )
    return "arch:\n  nodes:\n" + "\n".join(nodes) + "\n" + workload


WRITERS: dict[str, Callable[[FieldDesign], str]] = {
    "v0.2": _v02,
    "v0.3": _v03,
    "legacy": _legacy,
    "v0.4": _v04,
    "native": _native,
    "accelforge": _accelforge,
}


def _design(name: str, dialect: str, *buffers: Buffer, **more: object) -> FieldDesign:
    return FieldDesign(name, dialect, buffers, **more)  # pyright: ignore[reportArgumentType]


B = Buffer
FIELD_DESIGNS: tuple[FieldDesign, ...] = (
    # dense arrays
    _design("DianNao: one buffer, a tree of 16 x 16 multipliers", "legacy", B("NB", 4096), lanes=16, rank="n", bits=16),
    _design("DaDianNao: tiles with eDRAM", "v0.2", B("Central", 8192), B("Tile", 2048, 16), lanes=4, sizes=(2, 64, 16), bits=16),
    _design("ShiDianNao: 8 x 8 processing elements", "v0.3", B("SB", 4096), B("Reg", 64, 8), lanes=8, bits=16),
    _design(
        "Eyeriss: global buffer and scratchpads", "v0.3", B("GLB", 8192), B("Spad", 512, 12), lanes=1, sizes=(4, 12, 14), bits=16
    ),
    _design("Eyeriss as AccelForge has it", "accelforge", B("GLB", 8192), B("Spad", 512, 12), sizes=(4, 12, 14), bits=16),
    _design("Eyeriss v2: clusters of elements", "native", B("GLB", 4096), B("Cluster", 1024, 4), B("Spad", 192, 4), bits=8),
    _design("TPU v1: unified buffer, systolic rows and columns", "v0.4", B("UB", 8192), B("Acc", 512, 16), lanes=16),
    _design("TPU v4i: two levels on chip", "accelforge", B("CMEM", 65536), B("VMEM", 4096, 4), lanes=16, sizes=(8, 16, 32)),
    _design("NVDLA: convolution buffer and 16 kernels", "v0.4", B("CBUF", 8192), B("CACC", 1024, 16), lanes=8),
    _design("NVDLA as AccelForge has it", "accelforge", B("CBUF", 8192), B("CACC", 1024, 8), lanes=8, sizes=(4, 8, 16)),
    _design("Simba: chiplet of 16 elements with vector MACs", "v0.4", B("Global", 16384), B("PE", 1024, 16), lanes=8),
    _design("Simba package: chiplets of elements", "v0.3", B("Package", 32768), B("Chip", 8192, 4), B("PE", 1024, 4), lanes=8),
    _design("Gemmini: scratchpad and a 16 x 16 array", "native", B("Scratchpad", 16384), B("Acc", 1024, 16), lanes=16),
    _design("MAERI: a tree of multipliers over one buffer", "v0.2", B("PB", 4096), lanes=16, rank="k"),
    _design("FlexFlow: rows of elements with local stores", "legacy", B("Neuron", 8192), B("Local", 256, 16), lanes=4, bits=16),
    _design("Tetris: vaults beside a global buffer", "v0.2", B("Global", 16384), B("Reg", 128, 14), sizes=(2, 14, 8), bits=16),
    _design("Plasticine: pattern memory and compute units", "native", B("PMU", 16384), B("PCU", 512, 8), lanes=8, bits=16),
    _design("Weight-stationary teaching example", "v0.4", B("Buffer", 4096), B("Reg", 64, 16), sizes=(8, 16, 2)),
    _design("Output-stationary teaching example", "v0.3", B("Buffer", 4096), B("Reg", 64, 16, "n"), sizes=(8, 16, 2), bits=16),
    _design("Row of three levels without a fanout", "legacy", B("L2", 2048), B("L1", 640), sizes=(4, 8, 8)),
    # sparse
    _design(
        "SCNN: elements with activation memories", "native", B("IARAM", 4096, 8), B("FIFO", 512), lanes=16, density=0.25, bits=16
    ),
    _design("EIE: 64 elements, columns of weights", "native", B("PE", 2048, 8), sizes=(1, 64, 32), density=0.125, bits=16),
    _design("Cnvlutin: lanes over non-zero neurons", "native", B("NBin", 4096), lanes=16, density=0.5, bits=16),
    _design("Cambricon-X: indexed synapses", "native", B("NBin", 4096), B("SB", 1024, 16), lanes=16, density=0.25, bits=16),
    _design("Cambricon-S: coarse pruning", "native", B("NBin", 4096), B("SB", 1024, 4), lanes=8, density=0.125, bits=16),
    _design("SparTen: bitmasks in clusters", "native", B("Cluster", 4096, 4), B("Unit_buffer", 512, 4), density=0.5),
    _design(
        "ExTensor: hierarchy of intersection", "native", B("LLB", 16384), B("PEB", 2048, 8), sizes=(4, 16, 64), density=0.0625
    ),
    _design(
        "SIGMA: flexible dot products",
        "native",
        B("Stationary", 4096),
        lanes=64,
        rank="k",
        sizes=(4, 4, 64),
        density=0.5,
        bits=16,
    ),
    _design("Gamma: rows of sparse matrices in a fiber cache", "native", B("FiberCache", 16384), B("PE", 1024, 8), density=0.125),
    _design("OuterSPACE: outer products", "native", B("L1", 4096, 16), B("L0", 1024), sizes=(4, 16, 8), density=0.25),
    _design("MatRaptor: row-wise product", "native", B("Queue", 2048, 8), sizes=(8, 8, 32), density=0.125),
    _design("SpArch: merge of outer products", "native", B("Prefetch", 16384), lanes=16, sizes=(2, 4, 64), density=0.0625),
    _design("Sparse tensor core: 2 of 4", "v0.3", B("SMEM", 8192), B("RF", 1024, 4), lanes=16, bits=16, density=0.5),
    _design("Dual-side sparse tensor core", "native", B("SMEM", 8192), B("Lines", 512, 8), lanes=8, density=0.25, bits=16),
    _design("S2TA: density-bound blocks", "v0.4", B("SRAM", 8192), B("Reg", 256, 8), lanes=8, density=0.5),
    _design(
        "HighLight: hierarchical structured sparsity", "native", B("GLB", 16384), B("RF", 512, 8), lanes=16, density=0.25, bits=16
    ),
    _design("GoSPA: intersection ahead of time", "native", B("GLB", 8192), B("PE", 512, 16), density=0.25, bits=16),
    _design("Flexagon: three dataflows on one array", "v0.2", B("Cache", 16384), B("FIFO", 1024, 8), lanes=8, density=0.25),
    _design(
        "Tensaurus: mixed dense and sparse kernels", "v0.3", B("SPM", 8192), B("PE", 1024, 8), lanes=4, density=0.125, bits=16
    ),
    _design("ZeNA: zero-aware kernels", "legacy", B("Shared", 8192), B("Local", 512, 16), density=0.5, bits=16),
    # others
    _design("ISAAC: crossbars below tiles", "v0.4", B("eDRAM", 16384), B("IMA", 2048, 8), lanes=16, rank="k", bits=16),
    _design("RAELLA-like macro of rows and columns", "v0.4", B("Buffer", 16384), B("Column", 512, 16), lanes=16, rank="k"),
    _design(
        "HyGCN: aggregation engine", "native", B("Aggregation", 16384), B("Core", 1024, 16), sizes=(8, 16, 32), density=0.0625
    ),
    _design("GROW: rows of a graph", "native", B("Rows", 8192), lanes=16, rank="n", sizes=(16, 16, 16), density=0.125),
    _design("Snowcat: one level of AccelForge", "accelforge", B("Global", 65536), sizes=(8, 8, 8)),
    _design("Colonnade-like digital macro", "v0.3", B("Bitcells", 4096), lanes=16, rank="k", sizes=(4, 8, 16)),
)
