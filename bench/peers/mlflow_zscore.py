"""Writes a pyfunc model for ``mlflow models serve``. Argument: the folder.

Runs in the environment of MLflow: nothing of Atalaia is imported.
"""
# pyright: basic, reportMissingImports=false, reportPrivateImportUsage=false

import sys

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import infer_signature


class ZScore(mlflow.pyfunc.PythonModel):
    """One z-score."""

    def predict(self, context, model_input, params=None):
        """Answer a data frame."""
        return np.abs(model_input["value"].to_numpy() - 50.0) / 6.0


if __name__ == "__main__":
    example = pd.DataFrame({"value": [0.315]})
    signature = infer_signature(example, np.array([0.5]))
    mlflow.pyfunc.save_model(sys.argv[1], python_model=ZScore(), signature=signature, pip_requirements=["mlflow"])
