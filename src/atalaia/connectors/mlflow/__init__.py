"""MLflow as the model registry: in a folder, or on a server."""

from atalaia.connectors.mlflow.local import MlflowRegistry
from atalaia.connectors.mlflow.publishing import Artefact, Publisher, registered_name
from atalaia.connectors.mlflow.server import MlflowServer
from atalaia.connectors.mlflow.settings import RegistrySettings

__all__ = ["Artefact", "MlflowRegistry", "MlflowServer", "Publisher", "RegistrySettings", "registered_name"]
