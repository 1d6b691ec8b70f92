"""KServe's ModelServer with a custom predictor, as its documentation has it. Arguments: those of KServe.

Runs in the environment of KServe: nothing of Atalaia is imported.
"""
# pyright: basic, reportMissingImports=false

import uuid

import kserve
import numpy as np
from kserve import InferOutput, InferRequest, InferResponse


class ZScore(kserve.Model):
    """One z-score."""

    def __init__(self) -> None:
        super().__init__("zscore")
        self.mean, self.allowed = 50.0, 6.0
        self.ready = True

    async def predict(self, payload, headers=None):
        """Answer V1 instances, or a V2 request."""
        if isinstance(payload, InferRequest):
            scores = np.abs(payload.inputs[0].as_numpy() - self.mean) / self.allowed
            output = InferOutput(name="score", shape=list(scores.shape), datatype="FP64", data=scores.tolist())
            name = payload.id or str(uuid.uuid4())  # which its answer must have
            return InferResponse(response_id=name, model_name="zscore", infer_outputs=[output])
        return {"predictions": [abs(value - self.mean) / self.allowed for value in payload["instances"]]}


if __name__ == "__main__":
    kserve.ModelServer(workers=1).start([ZScore()])
