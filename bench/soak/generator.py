"""The load, from a process of its own: ``python -m bench.soak.generator`` reads what to do from its standard input.

It prints a line of JSON a second, and one for each answer that is an error. A batch of points that is refused is
sent again with the same Idempotency-Key until it is acknowledged. SIGTERM ends it, once nothing is pending.
"""

import asyncio
import json
import signal
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from atalaia.core.clock import MICROS
from bench.soak.plan import Plan
from bench.soak.wire import Connection, post

_TICK_S = 0.01
_MOST_CONNECTIONS = 32
_POINT_SENDERS = 2
_AGAIN_S = 0.25
_PATIENCE_S = 120.0
_ANSWER_S = 30.0


@dataclass
class Counts:
    """What happened since the last line."""

    predictions: int = 0
    fallbacks: int = 0
    points: int = 0
    took_s: list[float] = field(default_factory=list[float])


class Generator:
    """Sends predictions and points at their rates."""

    def __init__(self, plan: Plan, numbers: list[int], predictor_port: int, api_port: int) -> None:
        self._plan = plan
        self._numbers = numbers
        self._predictor_port = predictor_port
        self._api_port = api_port
        self._connections: list[Connection] = []
        self._counts = Counts()
        self._pending: deque[int] = deque()
        self._next = 0
        self._acknowledged = 0
        self._stopping = asyncio.Event()
        self._asks = [
            post(f"/api/v1/predict/soak%2F{n % plan.series}", b'{"timestamp":%d,"value":51.5}' % self._start_s)
            for n in range(plan.series)
        ]

    @property
    def _start_s(self) -> int:
        return self._plan.start_us // MICROS

    def stop(self) -> None:
        """Begin nothing new."""
        self._stopping.set()

    async def run(self) -> None:
        """Send until told to stop and all is acknowledged."""
        tell = asyncio.create_task(self._tell())
        senders = [asyncio.create_task(self._send_points()) for _ in range(_POINT_SENDERS)]
        await asyncio.gather(self._predict(), self._plan_points())
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await asyncio.gather(*senders)
        except TimeoutError:
            say(given_up=self._next - self._acknowledged)
        tell.cancel()
        self._second()
        say(done=True, batches=self._next, acknowledged=self._acknowledged)

    async def _predict(self) -> None:
        began, sent = time.monotonic(), 0
        while not self._stopping.is_set():
            due = int((time.monotonic() - began) * self._plan.predictions_per_s) - sent
            self._connections = [one for one in self._connections if one.is_open]
            for connection in [one for one in self._connections if one.is_free][:due]:
                self._ask(connection, sent)
                sent, due = sent + 1, due - 1
            if due > 0 and len(self._connections) < _MOST_CONNECTIONS:
                await self._connect()
            await asyncio.sleep(_TICK_S)

    async def _connect(self) -> None:
        connection = Connection()
        if await connection.open(self._predictor_port):
            self._connections.append(connection)
        else:
            say(door="predict", status=0, code="refused")
            await asyncio.sleep(0.1)

    def _ask(self, connection: Connection, number: int) -> None:
        began, counts = time.monotonic(), self._counts

        def answered(status: int, body: bytes) -> None:
            if status == 200:
                counts.predictions += 1
                counts.fallbacks += b'"fallback"' in body
                counts.took_s.append(time.monotonic() - began)
                return
            say(door="predict", status=status, code=code_of(body))

        connection.send(self._asks[number % len(self._asks)], answered)

    async def _plan_points(self) -> None:
        began = time.monotonic()
        while not self._stopping.is_set():
            due = int((time.monotonic() - began) * self._plan.batches_per_s)
            while self._next < due:
                self._pending.append(self._next)
                self._next += 1
            await asyncio.sleep(_TICK_S)

    async def _send_points(self) -> None:
        connection = Connection()
        while not self._stopping.is_set() or self._pending:
            if not self._pending:
                await asyncio.sleep(_TICK_S)
                continue
            number = self._pending.popleft()
            request = self._batch(number)
            while True:
                status, body = await self._answer(connection, request)
                if status == 200:
                    self._acknowledged += 1
                    self._counts.points += self._plan.series
                    break
                say(door="points", status=status, code=code_of(body))
                await asyncio.sleep(_AGAIN_S)
                if not connection.is_open:
                    connection = Connection()
        connection.close()

    async def _answer(self, connection: Connection, request: bytes) -> tuple[int, bytes]:
        if not connection.is_free and not await connection.open(self._api_port):
            return 0, b""
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await connection.ask(request)
        except TimeoutError:
            connection.close()
            return 0, b'{"code":"silent"}'

    def _batch(self, number: int) -> bytes:
        at = np.array([number])
        seconds = float(self._plan.timestamps_us(at)[0]) / MICROS
        columns = {
            "series": self._numbers,
            "timestamps": [seconds] * self._plan.series,
            "values": self._plan.values(np.arange(self._plan.series), number).tolist(),
        }
        return post("/api/v1/points", msgspec.json.encode(columns), key=f"soak-{self._start_s}-{number}")

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(1)
            self._second()

    def _second(self) -> None:
        counts = self._counts
        took = sorted(counts.took_s) or [0.0]
        say(
            predictions=counts.predictions,
            fallbacks=counts.fallbacks,
            points=counts.points,
            pending=len(self._pending),
            p99_ms=round(took[int(len(took) * 0.99)] * 1e3, 2) if len(took) > 1 else 0.0,
            slowest_ms=round(took[-1] * 1e3, 2),
        )
        counts.predictions = counts.fallbacks = counts.points = 0
        counts.took_s.clear()


def code_of(body: bytes) -> str:
    """Return the code of a problem, or nothing."""
    try:
        return str(json.loads(body)["code"])
    except (ValueError, KeyError, TypeError):
        return ""


def say(**told: Any) -> None:
    """Print a line."""
    sys.stdout.write(json.dumps({"at": time.monotonic(), **told}) + "\n")
    sys.stdout.flush()


async def main() -> None:
    """Do what the standard input says."""
    told = json.loads(sys.stdin.readline())
    generator = Generator(Plan(**told["plan"]), told["numbers"], told["predictor_port"], told["api_port"])
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, generator.stop)
    await generator.run()


if __name__ == "__main__":
    asyncio.run(main())
