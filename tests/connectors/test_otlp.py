"""A collector is there or not; whoever else answers is told from it."""

import pytest

from atalaia.connectors.otlp import ask_collector
from atalaia.core.errors import Unavailable
from tests.parts.collector import Receiver

pytestmark = pytest.mark.slow


def test_a_collector_takes_no_span() -> None:
    with Receiver() as receiver:
        assert "takes traces" in ask_collector(receiver.endpoint, {"authorization": "Bearer x"}, 5)
        assert receiver.spans == []


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:9/", "ftp://127.0.0.1/", "http://", "nonsense", "http://[x", ""]
)
def test_whoever_is_not_there_is_told_of(endpoint: str) -> None:
    with pytest.raises(Unavailable) as refused:
        ask_collector(endpoint, {}, 1)
    assert refused.value.code == "part_unavailable"
