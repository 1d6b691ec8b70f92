"""The baseline: FastAPI that validates a point and does nothing. Arguments: port."""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Point(BaseModel):
    """What is asked."""

    timestamp: float
    value: float


class Answer(BaseModel):
    """What is answered."""

    anomaly: bool
    score: float


app = FastAPI()


@app.get("/ready")
async def ready() -> dict[str, str]:
    """Answer at once."""
    return {"status": "ready"}


@app.post("/api/v1/predict/{series_id}")
async def predict(series_id: str, point: Point) -> Answer:
    """Answer always the same."""
    return Answer(anomaly=False, score=0.5)


uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)
