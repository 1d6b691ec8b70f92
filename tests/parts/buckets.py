"""Buckets in the object stores that tests start, each with the settings that reach it."""

import itertools
from dataclasses import dataclass
from typing import Any

import pytest
from fsspec.asyn import sync

from atalaia.kit.blobs import BlobsSettings, Bucket
from tests.parts import stores
from tests.parts.stores import AZURE_ACCOUNT, AZURE_KEY, KEY, SECRET, Store

BUCKETS = ("moto", "rclone", "azurite", "google")
"""Fixtures of object stores."""
_NAMES = itertools.count()


@dataclass(frozen=True, slots=True)
class Rented:
    """A bucket of its own in a store.

    Attributes
    ----------
    url, settings
        What `blobs_url` and the section `blobs` are.
    """

    url: str
    settings: BlobsSettings

    def open(self, **changes: Any) -> Bucket:
        """Return the bucket, with other settings if given."""
        return Bucket(self.url, self.settings.model_copy(update=changes))

    def told(self) -> dict[str, Any]:
        """Return the settings as flags of a service."""
        given = {"endpoint_url": self.settings.endpoint_url, "key": KEY, "secret": SECRET, "region": "eu-west-1"}
        return {"blobs_url": self.url, **{f"blobs__{name}": value for name, value in given.items()}}


def s3_settings(endpoint: str, **more: Any) -> BlobsSettings:
    """Return what reaches S3 at an address."""
    given = {"endpoint_url": endpoint, "key": KEY, "secret": SECRET, "region": "eu-west-1"}
    return BlobsSettings.model_validate({**given, **more})


def settings_of(kind: str, store: Store, endpoint: str | None = None, **more: Any) -> BlobsSettings:
    """Return what reaches a store, at another address than its own if given."""
    endpoint = endpoint or store.endpoint
    if kind == "azurite":
        connection = (
            f"DefaultEndpointsProtocol=http;AccountName={AZURE_ACCOUNT};AccountKey={AZURE_KEY};"
            f"BlobEndpoint={endpoint}/{AZURE_ACCOUNT};"
        )
        return BlobsSettings.model_validate({"connection_string": connection, **more})
    if kind == "google":
        return BlobsSettings.model_validate(
            {"endpoint_url": endpoint, "anonymous": True, "project": "atalaia", **more}
        )
    return s3_settings(endpoint, **more)


def rent(kind: str, store: Store, **more: Any) -> Rented:
    """Make a bucket in a store."""
    scheme = {"azurite": "abfs", "google": "gs"}.get(kind, "s3")
    name = f"atalaia-{next(_NAMES)}"
    settings = settings_of(kind, store, **more)
    fs = Bucket(f"{scheme}://{name}", settings)._open()
    sync(fs.loop, fs._mkdir, name, timeout=30)
    return Rented(f"{scheme}://{name}/some/where", settings)


def rented(request: pytest.FixtureRequest, kind: str, **more: Any) -> Rented:
    """Make a bucket in the store of a fixture."""
    store = request.getfixturevalue(kind)
    assert isinstance(store, stores.Store)
    return rent(kind, store, **more)
