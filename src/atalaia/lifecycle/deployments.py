"""Which versions are in Production, for those who serve them."""

from atalaia.core.models import Deployment, ModelKey
from atalaia.kit.database import Database
from atalaia.lifecycle import store


class DeploymentList:
    """Reads deployments."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def deployments(self, after_revision: int = 0) -> list[Deployment]:
        """Return the deployments that changed after a revision, oldest change first."""
        with self._database.read() as session:
            return store.deployments_after(session, after_revision)

    def removals(self) -> int:
        """Return how often models were removed; what is gone is among no changes."""
        with self._database.read() as session:
            return store.removals(session)

    def version(self, key: ModelKey, number: int) -> Deployment | None:
        """Return one version, wherever it stands, None when there is none."""
        with self._database.read() as session:
            return store.deployment_of(session, str(key), number)
