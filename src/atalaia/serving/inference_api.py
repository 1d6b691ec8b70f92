"""HTTP doors of the Open Inference Protocol: models and their health; inference is hot, see `serving.oip`."""

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Request, Response

from atalaia import __version__
from atalaia.core.errors import Conflict, Invalid, Missing, Unavailable
from atalaia.core.models import Stage
from atalaia.kit.auth.permissions import PUBLIC, needs
from atalaia.kit.web.doors import json_answer
from atalaia.kit.web.hot import in_thread, through
from atalaia.kit.web.problems import methods_at
from atalaia.kit.web.wire import Body, decode
from atalaia.serving.loading import Models
from atalaia.serving.oip import InferenceDoors, error_answer, index_entry, metadata
from atalaia.serving.service import Serving
from atalaia.serving.versions import EVERY, Versions

_EXTENSIONS = ["binary_tensor_data", "model_repository"]
_TENSORS: dict[str, Any] = {
    "inputs": [
        {"name": "series_id", "datatype": "BYTES", "shape": [1], "data": ["sensor_001_radial"]},
        {"name": "timestamp", "datatype": "INT64", "shape": [1], "data": [1733587200000000]},
        {"name": "value", "datatype": "FP64", "shape": [1], "data": [0.315]},
    ]
}
_INSTANCES = {"instances": [{"series_id": "sensor_001_radial", "timestamp": 1733587200, "value": 0.315}]}


def _documented(example: dict[str, Any], *more: str, required: bool = True) -> dict[str, Any]:
    """Return what OpenAPI is told of a body that is JSON, or as the protocol has it of another type."""
    content: dict[str, Any] = {"application/json": {"schema": {"type": "object", "examples": [example]}}}
    content |= {media: {"schema": {"type": "string", "format": "binary"}} for media in more}
    return {"requestBody": {"required": required, "content": content}}


_REFUSED: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "An error, as the protocol has it, and the code of the problem",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["error", "code"],
                    "properties": {"error": {"type": "string"}, "code": {"type": "string"}},
                }
            }
        },
    }
}
_BODY = _documented(_TENSORS, "application/octet-stream")


class _IndexIn(msgspec.Struct):
    ready: bool = False


_index = msgspec.json.Decoder(_IndexIn)


class InferenceApi:
    """The doors of the protocol that are not hot, and the documentation of those that are."""

    def __init__(
        self,
        doors: InferenceDoors,
        serving: Serving,
        is_ready: Callable[[], bool],
        tell: Callable[[str, str], object] = lambda action, subject: None,
    ) -> None:
        self._doors = doors
        self._versions = serving.versions
        self._is_ready = is_ready
        self._repository = _Repository(serving.versions, serving.models, tell)

    def router(self) -> APIRouter:
        """Return the doors of V2 and V1."""
        router = APIRouter(tags=["inference"], responses=_REFUSED)
        self._add_health(router)
        self._add_models(router)
        self._add_inference(router)
        self._add_repository(router)
        self._add_v1(router)
        self._add_nothing(router)
        return router

    async def _answered(self, request: Request, act: Callable[[], Any]) -> Response:
        return await through(lambda _: in_thread(lambda: json_answer(act())), request, refuse=error_answer)

    def _ready(self, name: str, version: str | None) -> dict[str, Any]:
        if name != EVERY:
            self._versions.find(name, version)
        if not self._is_ready():
            raise Unavailable("not_ready", "the service is starting or stopping", retry_after_s=1)
        return {"name": name, "ready": True}

    def _add_health(self, router: APIRouter) -> None:
        @router.get("/v2")
        @needs("system.read")
        async def server_metadata() -> dict[str, Any]:
            """Say which server this is and what of the protocol it has."""
            return {"name": "atalaia", "version": __version__, "extensions": _EXTENSIONS}

        @router.get("/v2/health/live")
        @needs(PUBLIC)
        async def live() -> dict[str, bool]:
            """Answer as long as the process does."""
            return {"live": True}

        @router.get("/v2/health/ready")
        @needs(PUBLIC)
        async def ready(request: Request) -> Response:
            """Answer once models are loaded."""
            return await self._answered(request, lambda: self._ready(EVERY, None))

        _ = server_metadata, live, ready

    def _add_models(self, router: APIRouter) -> None:
        # The longer paths come first: a name may hold a slash.
        @router.get("/v2/models/{name:ids}/versions/{version}/ready")
        @needs("models.read")
        async def version_ready(name: str, version: str, request: Request) -> Response:
            """Say whether one version of a model can answer; it is loaded if needed."""
            return await self._answered(request, lambda: self._ready(name, version))

        @router.get("/v2/models/{name:ids}/versions/{version}")
        @needs("models.read")
        async def model_version(name: str, version: str, request: Request) -> Response:
            """Show the inputs and outputs of one version of a model."""
            return await self._answered(request, lambda: self._repository.metadata(name, version))

        @router.get("/v2/models/{name:ids}/ready")
        @needs("models.read")
        async def model_ready(name: str, request: Request) -> Response:
            """Say whether a model can answer; it is loaded if needed."""
            return await self._answered(request, lambda: self._ready(name, None))

        @router.get("/v2/models/{name:ids}")
        @needs("models.read")
        async def model(name: str, request: Request) -> Response:
            """Show the inputs and outputs of a model."""
            return await self._answered(request, lambda: self._repository.metadata(name, None))

        _ = model, model_ready, model_version, version_ready

    def _add_inference(self, router: APIRouter) -> None:
        @router.post("/v2/models/{name:ids}/versions/{version}/infer", openapi_extra=_BODY)
        @needs("predict")
        async def infer_version(name: str, version: str, request: Request) -> Response:
            """Score points by one version of a model, in tensors."""
            return await through(self._doors.infer, request, name=_segments(name, version), refuse=error_answer)

        @router.post("/v2/models/{name:ids}/infer", openapi_extra=_BODY)
        @needs("predict")
        async def infer(name: str, request: Request) -> Response:
            """Score points by a model, in tensors."""
            return await through(self._doors.infer, request, name=_segments(name), refuse=error_answer)

        _ = infer, infer_version

    def _add_repository(self, router: APIRouter) -> None:
        @router.post("/v2/repository/index", openapi_extra=_documented({"ready": True}, required=False))
        @needs("models.read")
        async def index(request: Request) -> Response:
            """List the models in Production; with ``{"ready": true}`` those alone that are in memory."""
            return await through(
                lambda call: in_thread(lambda: json_answer(self._repository.listed(call.body))),
                request,
                refuse=error_answer,
            )

        @router.post("/v2/repository/models/{name:ids}/load")
        @needs("models.reload")
        async def load(name: str, request: Request) -> Response:
            """Load the version of a model in Production anew."""
            return await self._answered(request, lambda: self._repository.load(name))

        @router.post("/v2/repository/models/{name:ids}/unload")
        @needs("models.reload")
        async def unload(name: str, request: Request) -> Response:
            """Drop the loaded versions of a model that do not serve."""
            return await self._answered(request, lambda: self._repository.unload(name))

        _ = index, load, unload

    def _add_v1(self, router: APIRouter) -> None:
        @router.get("/v1/models")
        @needs("models.read")
        async def models(request: Request) -> Response:
            """List the models in Production."""
            return await self._answered(
                request, lambda: {"models": [entry["name"] for entry in self._repository.index()]}
            )

        @router.get("/v1/models/{name:ids}")
        @needs("models.read")
        async def model(name: str, request: Request) -> Response:
            """Say whether a model can answer; it is loaded if needed."""
            return await self._answered(request, lambda: self._ready(name, None))

        @router.post("/v1/models/{name:ids}:predict", openapi_extra=_documented(_INSTANCES))
        @needs("predict")
        async def predict(name: str, request: Request) -> Response:
            """Score points by a model, as instances."""
            return await through(self._doors.predict_v1, request, name=_segments(name), refuse=error_answer)

        _ = models, model, predict

    def _add_nothing(self, router: APIRouter) -> None:
        """Refuse what there is not in the form in which clients of the protocol look for a reason."""

        @router.get("/v1/{path:path}", include_in_schema=False)
        @router.post("/v1/{path:path}", include_in_schema=False)
        @router.get("/v2/{path:path}", include_in_schema=False)
        @router.post("/v2/{path:path}", include_in_schema=False)
        @needs(PUBLIC)
        async def nothing(path: str, request: Request) -> Response:
            allowed = methods_at(request.app, request.scope["path"], is_fixed=True)
            answer = await self._answered(request, lambda: _refuse(path, request.method, allowed))
            if allowed:
                answer.headers["Allow"] = ", ".join(allowed)
            return answer

        _ = nothing


class _Repository:
    """What can be asked of the models as a whole."""

    def __init__(self, versions: Versions, models: Models, tell: Callable[[str, str], object]) -> None:
        self._tell = tell
        self._versions = versions
        self._models = models

    def metadata(self, name: str, version: str | None) -> dict[str, Any]:
        return metadata(None if name == EVERY else self._versions.find(name, version))

    def index(self) -> list[dict[str, str]]:
        entries = [{"name": EVERY, "version": "1", "state": "READY", "reason": ""}]
        for deployment in self._models.deployments():
            if deployment.stage is Stage.PRODUCTION:
                loaded = self._models.cache.peek(deployment.key)
                entries.append(index_entry(loaded, str(deployment.key), deployment.number))
        return entries

    def listed(self, body: Body) -> list[dict[str, str]]:
        asked = decode(body, _index) if body else _IndexIn()
        return [entry for entry in self.index() if entry["state"] == "READY" or not asked.ready]

    def load(self, name: str) -> dict[str, Any]:
        if name != EVERY:
            self._versions.load(name)
        self._tell("model_reloaded", name)
        return {}

    def unload(self, name: str) -> dict[str, Any]:
        if name == EVERY or self._versions.serves(name):
            detail = (
                f"{name[:80]} is in Production: points would go without an answer; promote another version instead"
            )
            raise Conflict("model_serves", detail)
        self._versions.forget(name)
        self._tell("model_unloaded", name)
        return {}


def _refuse(path: str, method: str, allowed: Sequence[str]) -> dict[str, Any]:
    if allowed:
        raise Invalid("method_not_allowed", f"{method} is not possible here; use {', '.join(allowed)}")
    raise Missing("not_found", f"{path[:80]!r}: this part of the protocol is not served; /docs lists what is")


def _segments(name: str, version: str | None = None) -> str:
    """Return what the door of inference is told: the part of the path, as it is sent."""
    sent = quote(name, safe="")
    return sent if version is None else f"{sent}/versions/{quote(version, safe='')}"
