"""Objects by key: model artefacts, history blocks and memory, in a folder or in a bucket."""

from atalaia.kit.blobs.bucket import Bucket
from atalaia.kit.blobs.folder import Blobs
from atalaia.kit.blobs.objects import Blob, Listed, sha256_of
from atalaia.kit.blobs.ports import Store
from atalaia.kit.blobs.remote import RemoteBlobs
from atalaia.kit.blobs.renewal import Renewed, renew, unheard, unopened
from atalaia.kit.blobs.seals import Seals, State
from atalaia.kit.blobs.settings import BlobsSettings

__all__ = [
    "Blob",
    "Blobs",
    "BlobsSettings",
    "Bucket",
    "Listed",
    "RemoteBlobs",
    "Renewed",
    "Seals",
    "State",
    "Store",
    "renew",
    "sha256_of",
    "unheard",
    "unopened",
]
