"""The tables of signals and every query on them."""
