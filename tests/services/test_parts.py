"""The parts that other tests stand on are there, can be stopped, and come back."""

import pytest

from tests.parts.postgres import PgBouncer, Postgres
from tests.parts.processes import Part, wait_gone
from tests.parts.rabbitmq import RabbitMq
from tests.parts.redis import Redis

pytestmark = pytest.mark.slow


def test_every_part_answers(request: pytest.FixtureRequest) -> None:
    for name in ("postgres", "pgbouncer", "redis_server", "rabbitmq", "moto", "rclone", "azurite", "google"):
        part: Part = request.getfixturevalue(name)
        assert part.is_running


def test_a_part_comes_back_where_it_was(postgres: Postgres, pgbouncer: PgBouncer, redis_server: Redis) -> None:
    for part in (postgres, redis_server):
        part.stop()
        wait_gone(part.answers, "the part to be gone")
        part.start()
        assert part.answers()
    assert pgbouncer.answers()


def test_the_broker_comes_back_after_a_kill(rabbitmq: RabbitMq) -> None:
    rabbitmq.kill()
    wait_gone(rabbitmq.answers, "the broker to be gone")
    rabbitmq.start()
    assert rabbitmq.answers()
