"""An MLflow server as a site has it: runs and versions in PostgreSQL, artefacts in S3."""

import os
from pathlib import Path

import httpx

from tests.journeys.servers import free_port
from tests.parts.buckets import Rented
from tests.parts.postgres import Postgres
from tests.parts.processes import ENVIRONMENT, Part
from tests.parts.stores import KEY, SECRET

_HIDDEN = "_MLFLOW_SERVER_"
"""The variables by which ``mlflow server`` tells its workers what it was told."""


class MlflowService(Part):
    """One worker of ``mlflow server``, by itself: the command would leave it behind when it is killed.

    Parameters
    ----------
    serves_artifacts
        Whether artefacts go through it; else its clients go to the bucket themselves.
    """

    def __init__(self, folder: Path, database: Postgres, bucket: Rented, *, serves_artifacts: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        where = {
            "ARTIFACT_DESTINATION": bucket.url,
            "SERVE_ARTIFACTS": "true",
            "ARTIFACT_ROOT": "mlflow-artifacts:/",
        }
        told = where if serves_artifacts else {"ARTIFACT_ROOT": bucket.url}
        variables = {
            f"{_HIDDEN}FILE_STORE": database.new_database().replace("+psycopg", "+psycopg2"),
            **{f"{_HIDDEN}{name}": value for name, value in told.items()},
            "_MLFLOW_SGI_NAME": "uvicorn",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_S3_ENDPOINT_URL": bucket.settings.endpoint_url or "",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "eu-west-1",
            "PYTHONPATH": "",
            "NO_PROXY": "127.0.0.1",
            "HOME": os.environ.get("HOME", "/tmp"),
        }
        flags = ["--host", "127.0.0.1", "--port", str(self.port), "--log-level", "warning"]
        command: list[str | Path] = [
            ENVIRONMENT / "python",
            "-m",
            "uvicorn",
            *flags,
            "mlflow.server.fastapi_app:app",
        ]
        super().__init__(folder, command, self.answers, variables=variables)

    def answers(self) -> bool:
        """Say whether it answers, its database included."""
        asked = {"max_results": 1}
        told = httpx.post(f"{self.url}/api/2.0/mlflow/experiments/search", json=asked, trust_env=False, timeout=30)
        return told.raise_for_status().is_success
