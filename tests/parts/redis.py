"""Redis, a real one, from Debian's package."""

from pathlib import Path

import redis

from tests.journeys.servers import free_port
from tests.parts.processes import Part


class Redis(Part):
    """A Redis server that keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        super().__init__(folder, command, self.answers)

    def answers(self) -> bool:
        """Say whether it answers."""
        with redis.Redis.from_url(self.url, socket_timeout=1) as client:
            return bool(client.ping())
