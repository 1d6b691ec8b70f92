"""Speak to a service with KServe's own client, and print what came of it as JSON.

Runs in the environment of `make setup-clients`: python of_kserve.py URL
"""
# pyright: basic, reportMissingImports=false

import asyncio
import json
import sys
from collections.abc import Awaitable
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


async def tried(call: Awaitable[Any]) -> dict[str, str]:
    """Return the exception that a call ends with."""
    try:
        return {"answer": str(await call)}
    except Exception as error:
        return {"raised": type(error).__name__, "message": str(error)}


def tensor(name: str, datatype: str, data: Any) -> InferInput:
    array = np.array([text.encode() for text in data], np.object_) if datatype == "BYTES" else np.array(data)
    one = InferInput(name, [len(data)], datatype)
    one.set_data_from_numpy(array, binary_data=False)
    return one


def points(*inputs: InferInput, request_id: str = "", **more: Any) -> InferRequest:
    return InferRequest(model_name="", request_id=request_id or None, infer_inputs=list(inputs), **more)


def told(response: Any) -> dict[str, Any]:
    outputs = {one.name: np.array(one.as_numpy()).tolist() for one in response.outputs}
    return {"model": response.model_name, "id": response.id, "outputs": outputs}  # it drops the version that it got


async def v2(url: str) -> dict[str, Any]:
    """Ask by V2."""
    async with InferenceRESTClient(RESTConfig(protocol="v2", timeout=20)) as client:

        async def infer(name: str, *inputs: InferInput, **more: Any) -> Any:
            return await client.infer(url, points(*inputs, **more), model_name=name)

        def binary(name: str, array: Any) -> InferInput:
            one = InferInput(name, list(array.shape), {"f": "FP64", "i": "INT32"}[array.dtype.kind])
            one.set_data_from_numpy(array, binary_data=True)
            return one

        ids, values = tensor("series_id", "BYTES", ["pump a", "pump b"]), tensor("value", "FP64", [50.0, 1e6])
        two = (np.array([50.0, 1e6]), np.array([1, 2], np.int32))
        expected = RequestedOutput("expected")
        lying = {"inputs": [{"name": "value", "datatype": "FP64", "shape": [3], "data": [1.0]}]}
        return {
            "live": await client.is_server_live(url),
            "ready": await client.is_server_ready(url),
            "model_ready": [
                await client.is_model_ready(url, name)
                for name in ("atalaia", "fleet:pumps", "series:hall 2/pump", "fleet:pumps/versions/1", "fleet:none")
            ],
            "json": told(await infer("fleet:pumps", ids, values, request_id="my request")),
            "every": told(await infer("atalaia", ids, values)),
            "binary": told(await infer("atalaia", binary("value", two[0]), binary("series", two[1]))),
            "binary_out": told(
                await infer(
                    "fleet:pumps",
                    ids,
                    values,
                    request_outputs=[RequestedOutput("score", parameters={"binary_data": True})],
                )
            ),
            "no_opinion": told(
                await infer("atalaia", tensor("series_id", "BYTES", ["nobody"]), tensor("value", "FP64", [1.0]))
            ),
            "versions": [
                told(
                    await infer(
                        f"series:hall 2/pump{version}", tensor("value", "FP64", [1e6]), request_outputs=[expected]
                    )
                )
                for version in ("", "/versions/1", "/versions/2")
            ],
            "unknown_model": await tried(infer("fleet:none", ids, values)),
            "unknown_version": await tried(infer("fleet:pumps/versions/9", ids, values)),
            "lying_shape": await tried(client.infer(url, lying, model_name="series:hall 2/pump")),
        }


async def v1(url: str) -> dict[str, Any]:
    """Ask by V1."""
    async with InferenceRESTClient(RESTConfig(protocol="v1", timeout=20)) as client:
        instances = [{"series_id": "pump a", "value": 1e6}, {"series_id": "pump b", "value": 50.0}]
        return {
            "model_ready": [await client.is_model_ready(url, name) for name in ("atalaia", "fleet:pumps")],
            "predict": await client.infer(url, {"instances": instances}, model_name="atalaia"),
            "one": await client.infer(url, {"instances": [1e6, 50.0]}, model_name="series:hall 2/pump"),
            "unknown_model": await tried(client.infer(url, {"instances": [1.0]}, model_name="nothing")),
            "unknown_ready": await tried(client.is_model_ready(url, "fleet:none")),
            "bad_instance": await tried(client.infer(url, {"instances": ["x"]}, model_name="atalaia")),
        }


async def main(url: str) -> None:
    """Print all answers."""
    json.dump({"v2": await v2(url), "v1": await v1(url), "httpx": httpx.__version__}, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
