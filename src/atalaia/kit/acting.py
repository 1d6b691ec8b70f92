"""Who acts: the caller of a request, or the job that runs; whatever is noted names them."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

SYSTEM = "system"
ANYBODY = "anybody"
"""Whoever called while nobody was asked who they are."""


@dataclass(frozen=True, slots=True)
class Acting:
    """Somebody, and what else is known of why: for a job its id, and who asked for it."""

    actor: str
    detail: Mapping[str, str] = field(default_factory=dict[str, str])


_THE_SERVICE = Acting(SYSTEM)
_acting: ContextVar[Acting] = ContextVar("atalaia_acting", default=_THE_SERVICE)


def acting() -> Acting:
    """Return who acts here."""
    return _acting.get()


def act_as(actor: str, **detail: str) -> None:
    """Let `actor` be who acts for the rest of this task, or thread."""
    _acting.set(Acting(actor or ANYBODY, detail))


@contextmanager
def acting_as(actor: str, **detail: str) -> Generator[None]:
    """Let `actor` be who acts inside the block."""
    before = _acting.set(Acting(actor or ANYBODY, detail))
    try:
        yield
    finally:
        _acting.reset(before)
