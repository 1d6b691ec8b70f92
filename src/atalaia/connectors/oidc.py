"""An OpenID provider, as far as it is read: its discovery document and its keys."""

from collections.abc import Mapping
from typing import Any, cast

import httpx
import msgspec

from atalaia.core.errors import Unavailable

_MOST_BYTES = 2**20


class ProviderDocuments:
    """Reads JSON documents over HTTP; safe to share between threads."""

    def __init__(self, *, timeout_s: float = 5.0) -> None:
        self._timeout_s = timeout_s

    def get(self, url: str) -> Mapping[str, Any]:
        """Return the document at `url`. Redirects are not followed.

        Raises
        ------
        Unavailable
            ``issuer_unavailable`` when it does not come, is no JSON object, or is too large.
        """
        try:
            with (
                httpx.Client(timeout=self._timeout_s) as http,
                http.stream("GET", url, headers={"Accept": "application/json"}) as response,
            ):
                body = bytearray()
                for part in response.iter_bytes():
                    body += part
                    if len(body) > _MOST_BYTES:
                        raise _unavailable(url, "it is too large")
                if response.status_code != 200:
                    raise _unavailable(url, f"status {response.status_code}")
            document = msgspec.json.decode(bytes(body))
        except (httpx.HTTPError, httpx.InvalidURL, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise _unavailable(url, str(error) or type(error).__name__) from error
        if not isinstance(document, dict):
            raise _unavailable(url, "it is no JSON object")
        return cast(dict[str, Any], document)


def _unavailable(url: str, why: str) -> Unavailable:
    return Unavailable("issuer_unavailable", f"the document {url} of the issuer cannot be read: {why}")
