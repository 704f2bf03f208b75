"""An estimator of one's own: memories of a foundry's compiler, and a class of MACs of which only the energy is known."""

from sparseloop.energy.estimators import Answer, Estimate, Query


class Foundry:
    """Numbers of a data sheet for memories at 28 nm."""

    name = "foundry"
    priority = 1.0

    def estimate(self, query: Query) -> Answer | None:
        """What the sheet says; None for everything it does not list."""
        if query.kind == "storage" and query.class_name == "compiled_sram" and query.node_nm == 28:
            return self._memory(query)
        if query.kind == "compute" and query.class_name == "logmac":
            return Answer(energy_pj={"compute": Estimate(value=0.07, source="sheet, page 9", confidence=0.9)})
        return None

    def _memory(self, query: Query) -> Answer:
        kilobytes = query.number("capacity_bits") / 8192
        if not 1 <= kilobytes <= 256:
            raise ValueError(f"compiled for 1 to 256 KB, not {kilobytes:g}")
        read = 0.9 * kilobytes**0.5 * query.number("width_bits") / 32
        return Answer(
            energy_pj={
                "read": Estimate(value=read, source="sheet, page 3", confidence=0.9),
                "write": Estimate(value=1.1 * read, source="sheet, page 3", confidence=0.9),
            },
            area_um2=Estimate(value=2100 * kilobytes, source="sheet, page 4", confidence=0.9),
            leak_mw=Estimate(value=0.004 * kilobytes, source="sheet, page 5", confidence=0.9),
        )
