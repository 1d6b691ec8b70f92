"""A collector of traces (OTLP by HTTP), asked whether it is there."""

from collections.abc import Mapping

import httpx

from atalaia.core.errors import Unavailable


def ask_collector(endpoint: str, headers: Mapping[str, str], timeout_s: float) -> str:
    """Send a collector no span, and say that it took it.

    Raises
    ------
    Unavailable
        ``part_unavailable`` when nobody answers, or something else than a collector does.
    """
    told = {**headers, "content-type": "application/x-protobuf"}
    try:
        answer = httpx.post(endpoint, headers=told, timeout=timeout_s)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = str(error) or type(error).__name__
        raise Unavailable("part_unavailable", f"the collector does not answer: {why}") from error
    if answer.status_code != 200:
        raise Unavailable("part_unavailable", f"the collector answers with status {answer.status_code}")
    return "the collector takes traces"
