"""MLServer's custom runtime. Runs in the environment of MLServer: nothing of Atalaia is imported."""
# pyright: basic, reportMissingImports=false

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class ZScore(MLModel):
    """One z-score."""

    async def load(self) -> bool:
        """Nothing is to be loaded."""
        self.mean, self.allowed = 50.0, 6.0
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer a V2 request."""
        values = NumpyCodec.decode_input(payload.inputs[0])
        scores = np.abs(values - self.mean) / self.allowed
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("score", scores)])
