"""Peers: other servers of models with the same z-score, each in an environment of its own: ``make bench-peers``."""
