"""The demo on an embedded service, and how it ends."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from atalaia.app.demo import report
from atalaia.app.demo.histories import SAMPLES
from atalaia.app.demo.story import tell
from atalaia.app.embedded import Embedded
from atalaia.app.settings import Settings
from atalaia.connectors.atalaia import Client
from atalaia.kit.logs import configure_logs


@dataclass(frozen=True, slots=True)
class Options:
    """How to tell the story.

    Attributes
    ----------
    speed
        Seconds of data in a second; None is as fast as it goes.
    exit_after_s
        Serve so long at the end; None is until Ctrl-C or SIGTERM.
    """

    speed: float | None = None
    keep_serving: bool = True
    exit_after_s: float | None = None


def run_demo(settings: Settings, options: Options) -> None:
    """Start the embedded service, let it find the anomalies of the sample data, and keep serving."""
    # people read along here: only what is wrong is logged, unless they ask for more
    level = "warning" if settings.log_level == "info" else settings.log_level
    configure_logs(level=level, as_json=False)
    report.say("Starting Atalaia in this process ...")
    with _sigterm_as_ctrl_c(), Embedded(settings) as service:
        with Client(service.url, token=service.token()) as client:
            tell(client, options.speed)
        report.say(_next_steps(service.url))
        if options.keep_serving:
            _serve(options.exit_after_s)


def _serve(seconds: float | None) -> None:
    """Stay until the time is up or somebody ends it, which is the regular end."""
    report.say("Serving until Ctrl-C ...")
    try:
        threading.Event().wait(seconds)
    except KeyboardInterrupt:
        report.say("Stopping.")


@contextmanager
def _sigterm_as_ctrl_c() -> Generator[None]:
    """Let SIGTERM end the block as Ctrl-C does, so that the service is closed in order."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    earlier = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


def _next_steps(url: str) -> str:
    first = SAMPLES[0].series_id
    elsewhere = "" if url.endswith("127.0.0.1:8460") else f" --url {url}"
    commands = (
        f"atalaia{elsewhere} anomalies list --series {first}",
        f"atalaia{elsewhere} models show {first}",
        f"atalaia{elsewhere} predict {first} 12.5",
        f"atalaia{elsewhere} points import FILE.csv",
    )
    lines = "\n".join(f"  {command}" for command in commands)
    return f"\nAPI documentation: {url}/docs\nTry in another terminal:\n{lines}\n"
