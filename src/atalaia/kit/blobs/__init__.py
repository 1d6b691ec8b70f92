"""Objects by key: model artefacts, history blocks and memory, in a folder or in a bucket."""

from atalaia.kit.blobs.bucket import Bucket
from atalaia.kit.blobs.folder import Blobs
from atalaia.kit.blobs.objects import Blob, Listed, sha256_of
from atalaia.kit.blobs.remote import RemoteBlobs
from atalaia.kit.blobs.settings import BlobsSettings

__all__ = ["Blob", "Blobs", "BlobsSettings", "Bucket", "Listed", "RemoteBlobs", "sha256_of"]
