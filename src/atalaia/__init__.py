"""Atalaia: the open platform that watches every series and governs every model that does so."""

__version__ = "0.1.0"
