"""Proofs about the compiled design: what holds for every input, not for the inputs tried."""
