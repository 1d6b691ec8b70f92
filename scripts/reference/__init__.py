"""The pages of docs/reference, one module for each source of truth."""
