"""Times MLflow's default ``log_model`` of a small scikit-learn model. Arguments: folder, how many.

Prints the seconds of each as JSON. Runs in the environment of MLflow: nothing of Atalaia is imported.
"""
# pyright: basic, reportMissingImports=false, reportPrivateImportUsage=false

import json
import sys
import time

import mlflow
import numpy as np
from sklearn.preprocessing import StandardScaler

if __name__ == "__main__":
    folder, count = sys.argv[1], int(sys.argv[2])
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.create_experiment("bench", artifact_location=f"file://{folder}/artifacts")
    mlflow.set_experiment("bench")
    values = np.random.default_rng(0).normal(50.0, 2.0, (200, 1))
    seconds = []
    for i in range(count):
        model = StandardScaler().fit(values)
        started = time.perf_counter()
        with mlflow.start_run():
            mlflow.sklearn.log_model(model, name="model", registered_model_name=f"series-{i}")
        seconds.append(time.perf_counter() - started)
    print(json.dumps(seconds))
