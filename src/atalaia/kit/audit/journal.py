"""The journal of predictions of one process: appended to on the hot path, written twenty times a second.

What is answered is in the hands of the kernel within `WRITE_EVERY_S` and the time of one write, so that ``kill -9``
loses no more than that; it is on the disk within `SYNC_EVERY_S`, which bounds what a power cut loses. A clean stop
loses nothing. When nothing can be written, predictions wait in memory, of which there is a bound; what goes beyond
is counted, and told in the journal and in the trail once it can be.
"""

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import structlog

from atalaia import __version__
from atalaia.core.clock import now_us, utc_now
from atalaia.core.errors import Unavailable
from atalaia.core.ids import new_id
from atalaia.kit.audit.columns import Batch, encode_batch
from atalaia.kit.audit.frames import START, Kind, Opened, head_of
from atalaia.kit.audit.records import Prediction
from atalaia.kit.audit.segments import WAITING, OpenSegment
from atalaia.kit.audit.settings import AuditSettings
from atalaia.kit.telemetry import Telemetry
from atalaia.kit.threads import Loop

_log = structlog.get_logger(__name__)
WRITE_EVERY_S = 0.05
SYNC_EVERY_S = 1.0
_MOST_LINES = 200_000
_MOST_BATCH_BYTES = 512 * 2**20
_LINES_A_FRAME = 20_000
_RETRY_S = 0.5
Tell = Callable[[str, str, Mapping[str, Any]], object]
"""Given an action, a subject and details, puts them into the trail soon."""
Forward = Callable[[Sequence[Prediction], bytes], object]
"""Given predictions and their lines of JSON, writes them to the log as well."""
_lines = msgspec.json.Encoder()


class Journal:
    """Takes predictions, and writes them.

    Parameters
    ----------
    folder
        ``audit`` in the data folder.
    tell, head
        The trail: told of every file that is opened and closed, and asked for its last event.
    forward
        Is given single predictions too, already encoded.

    Attributes
    ----------
    is_open
        Whether predictions are taken.
    """

    def __init__(
        self,
        folder: Path,
        settings: AuditSettings,
        telemetry: Telemetry,
        *,
        tell: Tell,
        head: Callable[[], tuple[int, str]],
        forward: Forward | None = None,
    ) -> None:
        self._folder = folder / WAITING
        self._settings = settings
        self._telemetry = telemetry
        self._tell = tell
        self._head = head
        self._forward = forward
        self.is_open = False
        self.is_failing = False
        self._waiting: deque[Prediction] = deque()
        self._batches: deque[Batch] = deque()
        self._batch_bytes = 0
        self._ready: deque[tuple[Kind, int, Any]] = deque()
        self._lost = 0
        self._retry_at = 0.0
        self._lock = threading.Lock()
        self._process = ""
        self._number = 0
        self._hash = START
        self._segment: OpenSegment | None = None
        self._opened_at = 0.0
        self._day = ""
        self._count = 0
        self._loops = (
            Loop("journal", self.flush, every_s=WRITE_EVERY_S),
            Loop("journal-sync", self._sync, every_s=SYNC_EVERY_S),
        )

    def start(self) -> None:
        """Open a file, and write from now on."""
        self._process = new_id("jrn")
        with self._lock:
            try:
                self._open()
            except OSError as error:
                self._failed(error)
        self.is_open = True
        for loop in self._loops:
            loop.start()

    def stop(self) -> None:
        """Write all that was taken, and close the file. Nothing may be answered any more."""
        if not self.is_open:
            return
        for loop in self._loops:
            loop.stop()
        self.is_open = False
        self._retry_at = 0.0
        while self._waiting or self._batches:
            self.flush()
            if self.is_failing:
                break
        self.flush()
        with self._lock:
            if self._segment is not None:
                with suppress(OSError):
                    self._close("stopped")
            left = len(self._waiting) + sum(map(len, self._batches)) + sum(count for _, count, _ in self._ready)
            self._lost += left
            self._tell_lost()

    def put(self, prediction: Prediction) -> None:
        """Take one prediction."""
        if len(self._waiting) >= _MOST_LINES:
            self._lose(1)
            return
        self._waiting.append(prediction)

    def put_batch(self, batch: Batch) -> None:
        """Take the predictions of one request."""
        if self._batch_bytes > _MOST_BATCH_BYTES:
            self._lose(len(batch))
            return
        self._batch_bytes += batch.nbytes
        self._batches.append(batch)

    def check(self) -> None:
        """Refuse a prediction that could not be kept, where the settings say so.

        Raises
        ------
        Unavailable
            ``audit_unavailable``.
        """
        if self.is_failing and self._settings.required:
            detail = "predictions are answered only when they can be kept, and the journal cannot be written"
            raise Unavailable("audit_unavailable", detail, retry_after_s=5)

    def flush(self) -> bool:
        """Write what was taken; one thread at a time."""
        with self._lock:
            self._encode()
            if not self._process or (self.is_failing and time.monotonic() < self._retry_at):
                return False
            try:
                self._write()
            except OSError as error:
                self._failed(error)
        return False

    def _encode(self) -> None:
        """Make frames of what was taken, unless enough of them wait for the disk already."""
        while len(self._ready) < _LINES_A_FRAME // 100 and (self._waiting or self._batches):
            if self._waiting:
                taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), _LINES_A_FRAME))]
                self._encode_lines(taken)
            if self._batches:
                batch = self._batches.popleft()
                self._batch_bytes -= batch.nbytes
                self._ready.append((Kind.BATCH, len(batch), encode_batch(batch)))

    def _encode_lines(self, taken: Sequence[Prediction]) -> None:
        try:
            lines = _lines.encode_lines(taken)
        except (
            ValueError,
            TypeError,
        ):  # a text among them that no UTF-8 can write: it may not take the others along
            if len(taken) == 1:
                self._lose(1)
                return
            for one in taken:
                self._encode_lines([one])
            return
        self._ready.append((Kind.LINES, len(taken), lines))
        if self._forward is not None:
            self._forward(taken, lines)

    def _write(self) -> None:
        if self._segment is not None and self._is_full(self._segment):
            self._close("rotated")
        if self._segment is None:
            if not (self._ready or self._lost or self.is_failing):
                return
            self._open()
        if self._lost or (self.is_failing and not self._ready):
            self._append(Kind.LOST, 0, msgspec.json.encode({"count": self._lost, "at": now_us()}))
            self._tell_lost()
        while self._ready:
            kind, count, payload = self._ready[0]
            self._append(kind, count, payload)
            self._ready.popleft()
            self._telemetry.count("audit_predictions_total", by=count)
        if self.is_failing:
            self.is_failing = False
            _log.warning("journal_written_again")

    def _append(self, kind: Kind, count: int, payload: Any) -> None:
        assert self._segment is not None
        head, chained = head_of(self._hash, kind, count, payload)
        self._segment.append([head, payload])
        self._hash = chained
        self._count += count

    def _is_full(self, segment: OpenSegment) -> bool:
        if segment.size >= self._settings.segment_bytes or not self._count:
            return self._count > 0
        is_old = time.monotonic() - self._opened_at >= self._settings.segment_s
        return is_old or utc_now().date().isoformat() != self._day

    def _open(self) -> None:
        number = self._number + 1
        name = f"{self._process}-{number:08d}"
        trail, trail_hash = self._head()
        told = Opened(
            segment=name,
            at=now_us(),
            release=__version__,
            host=socket.gethostname(),
            previous=self._hash.hex(),
            trail=trail,
            trail_hash=trail_hash,
        )
        payload = msgspec.json.encode(told)
        head, chained = head_of(self._hash, Kind.OPENED, 0, payload)
        segment = OpenSegment(self._folder, name)
        try:
            segment.append([head, payload])
        except OSError:
            segment.close()
            segment.path.unlink(missing_ok=True)
            raise
        self._segment, self._number, self._hash, self._count = segment, number, chained, 0
        self._opened_at, self._day = time.monotonic(), utc_now().date().isoformat()
        self._tell("journal_opened", name, {"first": chained.hex()})

    def _close(self, why: str) -> None:
        segment = self._segment
        assert segment is not None
        self._append(Kind.CLOSED, 0, msgspec.json.encode({"count": self._count, "why": why}))
        segment.close()
        self._segment = None
        self._tell("journal_closed", segment.name, {"count": self._count, "last": self._hash.hex(), "why": why})

    def _sync(self) -> bool:
        segment = self._segment
        if segment is not None:
            with suppress(OSError):  # it was closed, and synced, meanwhile; what cannot be written is seen there
                segment.sync()
        return False

    def _failed(self, error: OSError) -> None:
        if not self.is_failing:
            _log.error("journal_not_written", reason=os.strerror(error.errno or 0))
        self.is_failing, self._retry_at = True, time.monotonic() + _RETRY_S

    def _tell_lost(self) -> None:
        lost = self._lost
        if lost:
            self._lost -= lost
            self._tell("predictions_lost", self._process, {"count": lost})

    def _lose(self, count: int) -> None:
        self._lost += count
        self._telemetry.count("audit_predictions_lost_total", by=count)
