"""How long until the service is ready, and until the command line answers."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from bench.report import Figure, bounded
from bench.servers import atalaia_command, baseline_command, free_port, running

RUNS = 5


def second_run() -> Figure:
    """Time to ready of the second `make run`, on the data folder that the first one filled."""
    with tempfile.TemporaryDirectory() as folder:
        demo = atalaia_command("demo", "--data-dir", folder, "--port", "0", "--no-serve")
        subprocess.run(demo, check=True, capture_output=True)
        ours: list[float] = []
        bare: list[float] = []
        for _ in range(RUNS):
            port = free_port()
            command = atalaia_command("demo", "--data-dir", folder, "--port", str(port))
            with running(command, port, os.environ) as server:
                ours.append(server.ready_s)
            port = free_port()
            with running(baseline_command(port), port, os.environ) as server:
                bare.append(server.ready_s)
    median = statistics.median
    return bounded("second_run_ready", median(ours), "s", "FastAPI with one route", median(bare), at_most=5.0)


def help_text() -> Figure:
    """Time of `atalaia --help`."""
    ours = _median_ms(atalaia_command("--help"))
    bare = _median_ms([sys.executable, "-c", "import typer"])
    return bounded("cli_help", ours, "ms", "python -c 'import typer'", bare, at_most=300.0)


def _median_ms(command: Sequence[str]) -> float:
    times: list[float] = []
    for _ in range(2 * RUNS + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times[1:])
