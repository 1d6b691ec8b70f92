"""Each sensor of an asset told from the others in closed form, and which of these relations broke."""

from atalaia.algorithms.relations.detector import Relations

__all__ = ["Relations"]
