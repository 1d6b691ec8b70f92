"""The words of the house. Standard library and NumPy only, no I/O."""
