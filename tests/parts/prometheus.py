"""Prometheus and Alertmanager, real ones, from Debian's packages."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.journeys.servers import free_port
from tests.parts.processes import Part

_ALERTS = """
route: {receiver: nobody, group_by: [alertname, instance], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}
receivers: [{name: nobody}]
global: {resolve_timeout: 1m}
"""
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def quickened(rules: str, *, longest_s: int = 8) -> str:
    """Return rules that look back over seconds instead of minutes; what they say is not touched.

    A `for` and an interval become a second, a range of five minutes five seconds, and a longer one some more.
    """

    def window(found: re.Match[str]) -> str:
        return f"[{5 if int(found[1]) * _SECONDS[found[2]] <= 300 else longest_s}s]"

    rules = re.sub(r"\bfor: \d+[smhd]", "for: 1s", rules)
    rules = re.sub(r"\binterval: \d+[smhd]", "interval: 1s", rules)
    return re.sub(r"\[(\d+)([smhd])\]", window, rules)


class Alertmanager(Part):
    """An Alertmanager that tells nobody, but can be asked."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._url = f"http://127.0.0.1:{self.port}/api/v2"
        (folder / "alertmanager.yml").write_text(_ALERTS)
        listen = [f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address="]
        flags = ["--config.file=alertmanager.yml", f"--storage.path={folder / 'data'}", "--log.level=warn"]
        super().__init__(folder, ["prometheus-alertmanager", *flags, *listen], self.answers)

    def answers(self) -> bool:
        """Say whether it answers."""
        return _get(f"{self._url}/status") is not None

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that fire now."""
        told: list[dict[str, Any]] = _get(f"{self._url}/alerts")
        return told

    def names(self) -> set[str]:
        """Return the names of the alerts that fire now."""
        return {alert["labels"]["alertname"] for alert in self.alerts()}


class Prometheus(Part):
    """A Prometheus that scrapes every second, and tells an Alertmanager."""

    def __init__(
        self, folder: Path, rules: str, targets: Mapping[str, Sequence[int]], alertmanager: Alertmanager
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._url = f"http://127.0.0.1:{self.port}/api/v1"
        (folder / "rules.yml").write_text(rules)
        jobs = [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}]}
            for job, ports in targets.items()
        ]
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager.port}"]}]}]},
            "scrape_configs": jobs,
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))  # which is YAML too
        flags = ["--config.file=prometheus.yml", f"--storage.tsdb.path={folder / 'data'}", "--log.level=warn"]
        listen = [f"--web.listen-address=127.0.0.1:{self.port}", "--rules.alert.resend-delay=1s"]
        super().__init__(folder, ["prometheus", *flags, *listen], self.answers)

    def answers(self) -> bool:
        """Say whether it answers."""
        return _get(f"{self._url}/status/buildinfo") is not None

    def value(self, expression: str) -> float | None:
        """Return the value of an expression that has one, or None."""
        told = _get(f"{self._url}/query", query=expression)
        found = told["data"]["result"]
        return float(found[0]["value"][1]) if found else None

    def unhealthy(self) -> list[str]:
        """Return what is wrong with the rules."""
        groups = _get(f"{self._url}/rules")["data"]["groups"]
        return [
            f"{rule['name']}: {rule['lastError']}" for g in groups for rule in g["rules"] if rule.get("lastError")
        ]


def _get(url: str, **params: str) -> Any:
    return httpx.get(url, params=params, trust_env=False, timeout=10).raise_for_status().json()
