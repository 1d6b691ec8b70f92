"""Speak to a service with Triton's own HTTP client, and print what came of it as JSON.

Runs in the environment of `make setup-clients`: python of_triton.py HOST:PORT
"""
# pyright: basic, reportMissingImports=false

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import np_to_triton_dtype

FLEET, PUMP = "fleet:pumps", "series:hall 2/pump"


def tried(call: Callable[[], Any]) -> dict[str, str]:
    """Return the exception that a call ends with."""
    try:
        return {"answer": str(call())}
    except Exception as error:
        status = getattr(error, "status", lambda: "")()
        return {"raised": type(error).__name__, "message": str(error), "status": str(status)}


def tensor(name: str, data: Any, *, binary: bool = True) -> InferInput:
    array = np.array(data, np.object_) if isinstance(data[0], str) else np.array(data)
    one = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    one.set_data_from_numpy(array, binary_data=binary)
    return one


def points(*, binary: bool = True) -> list[InferInput]:
    return [
        tensor("series_id", ["pump a", "pump b"], binary=binary),
        tensor("value", np.array([50.0, 1e6]), binary=binary),
        tensor("timestamp", np.array([1_700_000_000_000_000] * 2), binary=binary),
    ]


def told(result: Any) -> dict[str, Any]:
    response = result.get_response()
    outputs = {one["name"]: result.as_numpy(one["name"]).tolist() for one in response["outputs"]}
    is_binary = {one["name"]: "binary_data_size" in one.get("parameters", {}) for one in response["outputs"]}
    return {
        "model": response["model_name"],
        "version": response["model_version"],
        "id": response.get("id"),
        "outputs": outputs,
        "binary": is_binary,
    }


def lying() -> InferInput:
    one = tensor("value", np.array([1.0, 2.0]))
    one.set_shape([3])
    return one


def inferences(client: InferenceServerClient) -> dict[str, Any]:
    """Ask for scores in all ways."""
    wanted = [
        InferRequestedOutput("score", binary_data=True),
        InferRequestedOutput("expected", binary_data=False),
        InferRequestedOutput("anomaly", binary_data=False),
    ]
    many = np.tile(np.array([50.0, 1e6]), 20_000)
    numbers = tensor("series", np.tile(np.array([1, 2], np.int32), 20_000))
    packed = {
        f"packed_{way}": told(client.infer("atalaia", points(), request_compression_algorithm=way))
        for way in ("gzip", "deflate")
    }
    large = client.infer(
        "atalaia",
        [tensor("value", many), numbers],
        request_compression_algorithm="gzip",
        response_compression_algorithm="gzip",
    )
    return {
        **packed,
        "binary": told(client.infer(FLEET, points(), request_id="my request")),
        "json": told(client.infer("atalaia", points(binary=False), outputs=wanted[2:])),
        "mixed": told(client.infer(FLEET, points(), outputs=wanted)),
        "one": told(client.infer(PUMP, [tensor("value", [1e6])])),
        "version": [
            told(client.infer(FLEET, points(), model_version=version))["version"] for version in ("", "1", "2")
        ],
        "no_opinion": told(client.infer("atalaia", [tensor("series_id", ["nobody"]), tensor("value", [1.0])])),
        "large": [int(large.as_numpy("anomaly").sum()), len(large.as_numpy("score"))],
        "async": told(client.async_infer(FLEET, points(), request_id="later").get_result(timeout=20)),
    }


def errors(client: InferenceServerClient) -> dict[str, Any]:
    """Ask for what cannot be."""
    return {
        "unknown_model": tried(lambda: client.infer("fleet:none", points())),
        "unknown_version": tried(lambda: client.infer(FLEET, points(), model_version="9")),
        "lying_shape": tried(lambda: client.infer(PUMP, [lying()])),
        "unknown_output": tried(lambda: client.infer(FLEET, points(), outputs=[InferRequestedOutput("colour")])),
        "unknown_series": tried(lambda: client.infer(FLEET, [tensor("series_id", ["x"]), tensor("value", [1.0])])),
        "metadata": tried(lambda: client.get_model_metadata("fleet:none")),
        "config": tried(lambda: client.get_model_config(FLEET)),
        "statistics": tried(lambda: client.get_inference_statistics()),
        "shared_memory": tried(lambda: client.get_system_shared_memory_status()),
        "unload": tried(lambda: client.unload_model(FLEET)),
        "load": tried(lambda: client.load_model("fleet:none")),
    }


def main(host: str) -> None:
    """Print all answers."""
    with InferenceServerClient(host, concurrency=2, network_timeout=20, connection_timeout=20) as client:
        before = client.get_model_repository_index()
        answers = {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model_ready": [client.is_model_ready(name) for name in ("atalaia", FLEET, PUMP, "fleet:none")],
            "version_ready": [client.is_model_ready(FLEET, version) for version in ("1", "2", "9")],
            "server": client.get_server_metadata(),
            "metadata": [client.get_model_metadata(name) for name in ("atalaia", FLEET, PUMP)],
            "metadata_of_version": client.get_model_metadata(FLEET, "1"),
            "infer": inferences(client),
            "errors": errors(client),
            "load": client.load_model(PUMP),
            "index_before": before,
            "index": client.get_model_repository_index(),
        }
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
