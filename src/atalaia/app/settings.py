"""Settings: defaults, then ``atalaia.toml``, then ``ATALAIA_*``, then flags. Read once, here.

Nested settings are written ``[signals]`` in the file and ``ATALAIA_SIGNALS__RETENTION_DAYS`` in the environment.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from atalaia.app.backup_settings import BackupSettings
from atalaia.connectors.mlflow.settings import RegistrySettings
from atalaia.core.errors import Fault, Invalid
from atalaia.incidents.settings import IncidentsSettings
from atalaia.kit.audit.settings import AuditSettings
from atalaia.kit.auth.settings import AuthSettings
from atalaia.kit.blobs import BlobsSettings
from atalaia.kit.database_settings import DatabaseSettings
from atalaia.kit.keyring import EncryptionSettings
from atalaia.kit.limits import LimitSettings
from atalaia.kit.privacy import PrivacySettings
from atalaia.kit.signatures import SigningSettings
from atalaia.kit.tracing import TracingSettings
from atalaia.kit.web.tls import TlsSettings
from atalaia.lifecycle.settings import LifecycleSettings
from atalaia.serving.settings import ServingSettings
from atalaia.signals.settings import SignalsSettings

CONFIG_VARIABLE = "ATALAIA_CONFIG"
_FILE = "atalaia.toml"
ROLES = ("api", "predictor", "worker", "scheduler")


class Settings(BaseSettings):
    """All settings of Atalaia."""

    model_config = SettingsConfigDict(
        env_prefix="ATALAIA_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        nested_model_default_partial_update=True,
    )

    data_dir: Path = Field(default=Path("var/atalaia"), description="Folder where everything is kept.")
    host: str = Field(
        default="127.0.0.1", description="Address to listen on; without authentication, loopback only."
    )
    port: int = Field(default=8460, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    share_port: bool = Field(
        default=False,
        description="Let several processes listen on the port; the kernel spreads connections. One process a core.",
    )
    database_url: str | None = Field(
        default=None, description="SQLAlchemy URL of the database; unset is a SQLite file in the data folder."
    )
    database: DatabaseSettings = Field(default_factory=DatabaseSettings, description="Connections to PostgreSQL.")
    blobs_url: str | None = Field(
        default=None,
        description="Bucket of models and history: s3://, abfs:// or gs://; unset is a folder in the data folder.",
    )
    registry_url: str | None = Field(
        default=None, description="Address of an MLflow server; unset is a registry in the data folder."
    )
    busy_timeout_s: float = Field(default=10.0, gt=0, description="How long a writer waits for another.")
    max_body_bytes: int = Field(default=32 * 2**20, ge=1024, description="Size of the largest body that is read.")
    max_inflight_bytes: int = Field(
        default=256 * 2**20, ge=2**20, description="Size of all bodies of hot doors that are worked on at a time."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="What is logged.")
    log_format: Literal["json", "console"] = Field(default="json", description="JSON lines, or for people.")
    job_lease_s: float = Field(
        default=15.0, gt=0, description="How long a job belongs to a worker that has fallen silent."
    )
    job_backoff_s: float = Field(
        default=1.0, gt=0, description="Pause before the first retry of a job; it doubles."
    )
    broker_url: SecretStr | None = Field(
        default=None,
        description="RabbitMQ, `amqp://user:password@host:5672//`; unset, a thread of the worker takes jobs.",
    )
    worker_processes: int = Field(
        default=2, ge=1, le=64, description="Processes of a worker that take jobs, when RabbitMQ wakes them."
    )
    schedule_every_s: float = Field(default=5.0, gt=0, description="How often to look for jobs that are due.")
    shutdown_s: float = Field(default=10.0, gt=0, description="How long running requests may take at a stop.")
    tracing: TracingSettings = Field(default_factory=TracingSettings, description="Traces by OpenTelemetry.")
    trusted_proxies: tuple[str, ...] = Field(
        default=(), description="Addresses or networks of proxies whose X-Forwarded-For is believed."
    )
    cors_origins: tuple[str, ...] = Field(
        default=(), description="Origins of web pages of others that may call, like `https://ops.example`."
    )
    tls: TlsSettings = Field(default_factory=TlsSettings, description="Certificates of the HTTP doors.")
    auth: AuthSettings = Field(default_factory=AuthSettings, description="Who may call.")
    audit: AuditSettings = Field(default_factory=AuditSettings, description="What is kept of what was done.")
    limits: LimitSettings = Field(default_factory=LimitSettings, description="How often each caller may call.")
    privacy: PrivacySettings = Field(default_factory=PrivacySettings, description="Data of people.")
    signing: SigningSettings = Field(default_factory=SigningSettings, description="Signatures of models.")
    encryption: EncryptionSettings = Field(
        default_factory=EncryptionSettings, description="What seals secrets and objects."
    )
    blobs: BlobsSettings = Field(default_factory=BlobsSettings, description="How to reach the bucket.")
    backup: BackupSettings = Field(default_factory=BackupSettings, description="Backups of the site.")
    registry: RegistrySettings = Field(default_factory=RegistrySettings, description="The MLflow server.")
    signals: SignalsSettings = Field(default_factory=SignalsSettings, description="Points, history and anomalies.")
    lifecycle: LifecycleSettings = Field(default_factory=LifecycleSettings, description="Training and promotion.")
    incidents: IncidentsSettings = Field(default_factory=IncidentsSettings, description="Likely causes.")
    serving: ServingSettings = Field(default_factory=ServingSettings, description="Loading models and answering.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Say who wins: flags, then the environment, then the file."""
        file = TomlConfigSettingsSource(settings_cls, toml_file=os.environ.get(CONFIG_VARIABLE, _FILE))
        return init_settings, env_settings, file

    @property
    def sqlalchemy_url(self) -> str:
        """The URL of the database in use."""
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'atalaia.db'}"


def mlflow_environment(settings: Settings) -> dict[str, str]:
    """Return what MLflow's own client reads from the environment when it speaks to a server."""
    if settings.registry_url is None:
        return {}
    given = settings.registry
    secrets = {
        "MLFLOW_TRACKING_USERNAME": given.user,
        "MLFLOW_TRACKING_PASSWORD": given.password.get_secret_value() if given.password else None,
        "MLFLOW_TRACKING_TOKEN": given.token.get_secret_value() if given.token else None,
    }
    return {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(max(1, round(given.timeout_s))),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(given.attempts - 1),
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
        "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",  # it may name hours
        **{name: value for name, value in secrets.items() if value is not None},
    }


def load_settings(overrides: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings; `overrides` win over all else, dots in their names reach nested ones.

    Raises
    ------
    Invalid
        With every wrong setting at once, each by its name.
    """
    # MLflow reports its use to its makers unless told not to, and writes past our log; it reads both when imported.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")
    nested: dict[str, Any] = {}
    for name, value in (overrides or {}).items():
        *path, last = name.split(".")
        place = nested
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    config = os.environ.get(CONFIG_VARIABLE, _FILE)
    faults: list[Fault] = []
    if CONFIG_VARIABLE in os.environ and not Path(config).is_file():
        faults.append(Fault("", f"{CONFIG_VARIABLE}: there is no file {config}"))
    try:
        settings = Settings(**nested)
        if not faults:
            os.environ.update(mlflow_environment(settings))
            return settings
    except ValidationError as error:
        faults += [Fault("/" + "/".join(map(str, e["loc"])), str(e["msg"])) for e in error.errors()]
    except SettingsError as error:
        faults.append(Fault("", f"the environment: {error}"))
    except (ValueError, OSError) as error:  # the file is not TOML, or may not be read
        faults.append(Fault("", f"{config}: {error}"))
    told = "; ".join(
        f"{fault.pointer[1:].replace('/', '.')}: {fault.message}" if fault.pointer else fault.message
        for fault in faults
    )
    raise Invalid("invalid_settings", f"{told}. Nothing was started.", faults=faults)
