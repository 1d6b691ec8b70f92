"""Which versions are in Production, for those who serve them."""

from atalaia.core.models import Deployment
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
