"""Our figures beside those of Timeloop/Sparseloop v3.0.3: its answers to a corpus of cases, and its known faults."""
