"""RabbitMQ, a real one, from Debian's package."""

import signal
from contextlib import suppress
from pathlib import Path

import psutil
from amqp import Connection

from tests.journeys.servers import free_port
from tests.parts.processes import Part, owned, run

_USER = "rabbitmq"
_COOKIE = "atalaia"
_CALM = "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"
"""One scheduler that does not spin: the tests need the cores."""


class RabbitMq(Part):
    """A broker with a node of its own; its name server of Erlang is its own too."""

    def __init__(self, folder: Path) -> None:
        self.port, dist, epmd = free_port(), free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        home = owned(folder, _USER)
        plugins = home / "enabled_plugins"
        plugins.write_text("[].\n")
        config = home / "rabbitmq.conf"
        limits = "vm_memory_high_watermark.absolute = 1GiB\ndisk_free_limit.absolute = 10MB\n"
        config.write_text("log.console.level = warning\n" + limits)
        self._variables_of_node = {
            "RABBITMQ_NODENAME": f"atalaia{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(dist),
            "ERL_EPMD_PORT": str(epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": str(owned(home / "mnesia", _USER)),
            "RABBITMQ_LOG_BASE": str(owned(home / "log", _USER)),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-setcookie {_COOKIE} {_CALM}",
            "HOME": str(home),
        }
        super().__init__(home, ["rabbitmq-server"], self.answers, user=_USER, variables=self._variables_of_node)

    def control(self, *words: str) -> str:
        """Run ``rabbitmqctl``."""
        command = ["rabbitmqctl", "--quiet", "--erlang-cookie", _COOKIE, *words]
        return run(command, user=_USER, variables=self._variables_of_node)

    def messages(self, queue: str) -> int:
        """Return how many messages wait in a queue that is there."""
        with Connection(f"127.0.0.1:{self.port}", userid="guest", password="guest") as connection:
            told = connection.channel().queue_declare(queue, passive=True)
            return int(told.message_count) if told is not None else 0

    def purge(self) -> None:
        """Throw away whatever waits in any queue."""
        with Connection(f"127.0.0.1:{self.port}", userid="guest", password="guest") as connection:
            for queue in self.control("list_queues", "name").split()[1:]:
                connection.channel().queue_purge(queue)

    def answers(self) -> bool:
        """Say whether it takes connections."""
        with Connection(f"127.0.0.1:{self.port}", userid="guest", password="guest", connect_timeout=2):
            return True

    def stop(self) -> None:
        """Stop the node: the server starts it as a child."""
        self._end_node(signal.SIGTERM)
        super().stop()

    def kill(self) -> None:
        """End the node as ``kill -9`` does."""
        self._end_node(signal.SIGKILL)
        super().kill()

    def close(self) -> None:
        """Stop the node, and its name server, which leaves the family of processes."""
        self.stop()
        for process in psutil.process_iter(["name"]):
            if process.info["name"] == "epmd":
                with suppress(psutil.Error):
                    if process.environ().get("ERL_EPMD_PORT") == self._variables_of_node["ERL_EPMD_PORT"]:
                        process.terminate()

    def pause(self) -> None:
        """Let the node hold its connections and do nothing."""
        self._node().suspend()

    def resume(self) -> None:
        """Let the node go on."""
        self._node().resume()

    def _end_node(self, by: signal.Signals) -> None:
        if self.is_running:
            node = self._node()
            node.send_signal(by)
            node.wait(30)

    def _node(self) -> psutil.Process:
        return next(
            child for child in psutil.Process(self.pid).children(recursive=True) if child.name() == "beam.smp"
        )
