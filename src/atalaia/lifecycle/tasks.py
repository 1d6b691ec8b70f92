"""Jobs of lifecycle: training."""

from atalaia.kit.jobs import Work
from atalaia.lifecycle.service import Lifecycle
from atalaia.lifecycle.training import KIND


def works(lifecycle: Lifecycle) -> dict[str, Work]:
    """Return what a worker does for lifecycle."""
    return {KIND: lifecycle.training.work}
