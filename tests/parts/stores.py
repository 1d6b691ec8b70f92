"""Object stores, real servers: S3 twice over (in Python and in Go), Azure Blob Storage, Google Cloud Storage."""

import os
import socket
from pathlib import Path
from typing import Any

from tests.journeys.servers import free_port
from tests.parts.processes import ENVIRONMENT, NODE, Part

KEY, SECRET = "atalaia", "atalaia-secret"
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account and key that every Azurite has."""


class Store(Part):
    """An object store over HTTP.

    Attributes
    ----------
    endpoint
        Where it listens.
    """

    def __init__(self, folder: Path, command: list[str | Path], port: int, **more: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port
        self.endpoint = f"http://127.0.0.1:{port}"
        super().__init__(folder, command, self.answers, **more)

    def answers(self) -> bool:
        """Say whether it takes connections."""
        with socket.create_connection(("127.0.0.1", self.port), 1):
            return True


def moto(folder: Path) -> Store:
    """Return S3 as moto's server has it; it keeps objects in memory."""
    port = free_port()
    return Store(folder, [ENVIRONMENT / "moto_server", "-H", "127.0.0.1", "-p", str(port)], port)


def rclone(folder: Path) -> Store:
    """Return S3 as rclone serves it; a bucket is a folder under ``buckets``."""
    port = free_port()
    buckets = folder / "buckets"
    (buckets / "atalaia").mkdir(parents=True, exist_ok=True)
    flags = ["--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}", "--vfs-cache-mode", "writes"]
    cache = {"RCLONE_CACHE_DIR": str(folder / "cache"), "RCLONE_CONFIG": str(folder / "rclone.conf")}
    command: list[str | Path] = [ENVIRONMENT / "rclone", "serve", "s3", *flags, buckets]
    return Store(folder, command, port, variables=cache)


def azurite(folder: Path) -> Store:
    """Return Azure Blob Storage as Azurite has it."""
    port = free_port()
    main = NODE / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    flags = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", folder / "data", "--silent"]
    return Store(folder, ["node", main, *flags, "--skipApiVersionCheck", "--disableTelemetry"], port)


def google(folder: Path) -> Store:
    """Return Google Cloud Storage as gcp-storage-emulator has it; it keeps objects in memory."""
    port = free_port()
    command: list[str | Path] = [ENVIRONMENT / "gcp-storage-emulator", "start", "--host", "127.0.0.1"]
    return Store(folder, [*command, "--port", str(port), "--in-memory"], port, variables=dict(os.environ))
