"""The stages of one cycle, the ledger that remembers them, and recovery."""
