"""What the name of a metric says: which way is bad, and whether it speaks of each call or of how many there are."""

import re
from dataclasses import dataclass
from functools import lru_cache

_SHARE = r"(?:rate|ratio|share|percent|pct|fraction)"
_BAD_UP = re.compile(
    r"latency|duration|delay|response_?time|_time\b|lag\b|error|fail|fault|timeout|retr(?:y|ies)|reject|drop(?:s|ped)?\b"
    r"|saturation|throttl|backlog|queue|pending|restart|cpu|mem(?:ory)?(?:\b|_|usage|used)|usage|used\b|utili[sz]ation"
    r"|temperature|vibration|5xx|4xx"
)
_BAD_DOWN = re.compile(r"availab|success|uptime|healthy|\bup\b|throughput|\bfree\b|remaining|hit_?rat(?:e|io)")
_OF_A_CALL = re.compile(r"latency|duration|delay|response_?time|availab|success")
_SHARE_OF_ERRORS = re.compile(rf"(?:error|fail\w*)_?{_SHARE}")
_TRAFFIC = re.compile(
    r"requests?\b|request_?(?:count|rate)|calls?\b|call_?count|workload|\bops\b|\b[qr]ps\b|\bhits\b|traffic"
)
_LEFT = re.compile(
    r"(?:mem|memory|disk|space|swap|bytes|inode|heap|pool|connections).*(?:free|remaining|available)\b"
)
_SUCCESS = re.compile(r"availab|success|uptime")
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_APART = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a metric means.

    Attributes
    ----------
    direction
        1 where more of it is bad, -1 where less is, 0 where nobody knows.
    is_of_a_call
        Whether it is an average over calls: times the number of calls, it is what callers felt.
    is_traffic
        Whether it counts calls.
    is_success
        Whether it is a share of what went well, so that what counts is the share that did not.
    """

    direction: int = 0
    is_of_a_call: bool = False
    is_traffic: bool = False
    is_success: bool = False


@lru_cache(maxsize=65_536)
def meaning_of(metric: str) -> Meaning:
    """Return what the name of a metric says; of several words in it, errors and waiting count before traffic."""
    words = _APART.sub("_", _WORD.sub("_", metric[:256]).lower()).strip("_")
    spaced = words.replace("_", " ")
    text = f"{words} {spaced}"
    if _LEFT.search(spaced):
        return Meaning(-1)
    if _BAD_UP.search(text):
        is_of_a_call = bool(_OF_A_CALL.search(text) or _SHARE_OF_ERRORS.search(words))
        return Meaning(1, is_of_a_call=is_of_a_call and not _SUCCESS.search(text))
    if _BAD_DOWN.search(text):
        is_success = bool(_SUCCESS.search(text))
        return Meaning(-1, is_of_a_call=is_success, is_success=is_success)
    return Meaning(0, is_traffic=bool(_TRAFFIC.search(text)))
