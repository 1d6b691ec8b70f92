"""Benchmarks, each beside a baseline of the same run: the machines are noisy, and figures of other days lie."""
