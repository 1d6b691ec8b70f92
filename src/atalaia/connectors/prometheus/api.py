"""The door of remote write as it is documented; it is answered in front, see `connectors.prometheus.door`."""

from typing import Any

from fastapi import APIRouter, Request, Response

from atalaia.connectors.prometheus.door import WRITE, RemoteWriteDoor
from atalaia.kit.auth.permissions import needs
from atalaia.kit.web.hot import through

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/x-protobuf": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def write_router(door: RemoteWriteDoor) -> APIRouter:
    """Return the door of remote write."""
    router = APIRouter(tags=["points"])

    @router.post(WRITE, status_code=204, openapi_extra=_BODY)
    @needs("points.write")
    async def remote_write(request: Request) -> Response:
        """Keep samples from Prometheus: remote write 1 and 2, snappy. The answer comes once they are durable."""
        return await through(door.write, request)

    return router
