"""A BentoML service. Runs in the environment of BentoML: nothing of Atalaia is imported."""
# pyright: basic, reportMissingImports=false

import bentoml


@bentoml.service(workers=1)
class ZScore:
    """One z-score."""

    @bentoml.api
    async def predict(self, timestamp: float, value: float) -> dict:
        """Answer one point."""
        score = abs(value - 50.0) / 6.0
        return {"anomaly": score > 1.0, "score": score}
