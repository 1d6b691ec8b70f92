"""The calls about waves: trainings of many fleets, put into Production together."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from atalaia.connectors.atalaia.answers import Wave, WaveRef
from atalaia.connectors.atalaia.connection import Connection
from atalaia.connectors.atalaia.requests import TrainingConfig, segment
from atalaia.core.errors import AtalaiaError, Conflict, Unavailable

_TOLD = 5


def wave_error(wave: Wave) -> AtalaiaError | None:
    """Return why a wave that has ended is not what was asked for, None if it is."""
    failed = [fleet for fleet in wave.fleets if fleet.status in ("failed", "cancelled")]
    if failed:
        told = [f"{fleet.fleet_id} {fleet.status}{f': {fleet.error}' if fleet.error else ''}" for fleet in failed]
        more = f"; {len(told) - _TOLD} more" if len(told) > _TOLD else ""
        detail = f"{len(told)} of {len(wave.fleets)} trainings did not end well: {'; '.join(told[:_TOLD])}{more}"
        return Conflict("wave_not_done", detail)
    if wave.promote and wave.promoted_at is None:
        return Conflict("wave_not_done", f"{wave.wave_id} has ended and could not be promoted by itself")
    return None


class WaveCalls:
    """``/training/waves``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def start(
        self,
        fleets: Sequence[str] | None = None,
        config: TrainingConfig | None = None,
        *,
        priority: int | None = None,
        promote: bool = False,
        idempotency_key: str | None = None,
    ) -> WaveRef:
        """Ask for a training of each of the fleets; without any, of all series.

        Parameters
        ----------
        priority
            0 to 9; the higher comes first.
        promote
            Put all versions into Production at once when the last training has ended well.
        """
        body: dict[str, Any] = {"promote": promote}
        if fleets is not None:
            body["fleets"] = list(fleets)
        if config is not None:
            body["config"] = config.body()
        if priority is not None:
            body["priority"] = priority
        return self._connection.create("/training/waves", WaveRef, body, idempotency_key)

    def get(self, wave_id: str) -> Wave:
        """Return how far a wave is."""
        return self._connection.get(f"/training/waves/{segment(wave_id)}", Wave)

    def promote(self, wave_id: str, *, skip_failed: bool = False, idempotency_key: str | None = None) -> Wave:
        """Put all versions of a wave into Production at once."""
        path = f"/training/waves/{segment(wave_id)}/promote"
        return self._connection.create(path, Wave, {"skip_failed": skip_failed}, idempotency_key)

    def retry(self, wave_id: str, *, idempotency_key: str | None = None) -> WaveRef:
        """Queue the trainings of a wave anew that failed or were cancelled."""
        return self._connection.create(f"/training/waves/{segment(wave_id)}/retry", WaveRef, {}, idempotency_key)

    def wait(
        self,
        wave_id: str,
        *,
        timeout_s: float | None = None,
        poll_s: float = 1.0,
        on_change: Callable[[Wave], None] = lambda wave: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Wave:
        """Return the wave once every training has ended, well or not; `on_change` hears of every look at it.

        Raises
        ------
        Unavailable
            ``job_not_done`` when it has not ended after about `timeout_s`.
        """
        waited_s = 0.0
        while True:
            wave = self.get(wave_id)
            on_change(wave)
            if wave.is_final:
                return wave
            if timeout_s is not None and waited_s >= timeout_s:
                detail = f"{wave.waiting} trainings of {wave_id} have not ended after {timeout_s:g} s"
                raise Unavailable("job_not_done", detail)
            sleep(poll_s)
            waited_s += poll_s
