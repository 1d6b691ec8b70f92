"""The memory bank's loops: windows that were normal, how far a new one is from them, and how rare that is."""
