"""Erasure of one subject's data on request: asked for, done as a job, certified in the end."""

from atalaia.app.erasure.asking import Asked, Erasures
from atalaia.app.erasure.parts import Parts

__all__ = ["Asked", "Erasures", "Parts"]
