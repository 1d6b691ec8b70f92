"""The numerics: arrays in, arrays out, no I/O."""
