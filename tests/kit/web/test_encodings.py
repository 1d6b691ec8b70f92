"""Compressed bodies, whole, broken and malicious."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.core.errors import Invalid
from atalaia.kit.web.encodings import ENCODINGS, decoded

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": lambda data: bytes(cramjam.zstd.compress(data)),
    "lz4": lambda data: bytes(cramjam.lz4.compress(data)),
    "snappy": lambda data: bytes(cramjam.snappy.compress_raw(data)),
}
MIB = 2**20
every = pytest.mark.parametrize("encoding", ENCODINGS)


def refusal(body: bytes, encoding: str, limit: int = MIB) -> Invalid:
    with pytest.raises(Invalid) as caught:
        decoded(body, encoding, limit)
    return caught.value


@every
@given(data=st.binary(max_size=300))
def test_what_was_compressed_comes_back(encoding: str, data: bytes) -> None:
    found = decoded(COMPRESS[encoding](data), encoding, 300)
    assert found == data


@every
def test_a_body_that_shrank_a_lot_comes_back(encoding: str) -> None:
    data = b"x" * 5_000_000
    body = COMPRESS[encoding](data)
    assert bytes(decoded(body, encoding, len(data))) == data
    assert decoded(body, encoding.upper(), 2 * len(data)) == data


@pytest.mark.parametrize("encoding", ["", "identity", "Identity", " , identity"])
def test_a_body_as_it_is_stays_the_same_object(encoding: str) -> None:
    body = b"abc"
    assert decoded(body, encoding, 3).obj is body
    assert refusal(body, encoding, 2).code == "body_too_large"


def test_old_names_and_identity_beside_an_encoding_are_understood() -> None:
    assert decoded(gzip.compress(b"abc"), "identity, X-GZip", 3) == b"abc"


@pytest.mark.parametrize("encoding", ["br", "compress", "gzip, zstd", "gzip,gzip", "snappy, gzip, gzip", "x" * 999])
def test_other_encodings_are_refused_with_those_that_are_known(encoding: str) -> None:
    error = refusal(b"abc", encoding)
    assert error.code == "unsupported_encoding"
    assert "gzip, deflate, zstd, lz4, snappy" in error.detail
    assert len(error.detail) < 200


@every
def test_every_cut_of_a_body_is_refused(encoding: str) -> None:
    body = COMPRESS[encoding](bytes(range(256)) * 8)
    assert {refusal(body[:end], encoding).code for end in range(len(body))} == {"bad_encoding"}


@every
def test_something_else_is_refused(encoding: str) -> None:
    for body in (b"", b'{"points": []}', bytes(100), b"\xff" * 100):
        assert refusal(body, encoding).code in ("bad_encoding", "body_too_large")
    assert encoding in refusal(b"", encoding).detail


@every
def test_what_follows_the_body_is_refused(encoding: str) -> None:
    assert refusal(COMPRESS[encoding](b"abc" * 99) + b"{} and more of it", encoding).code == "bad_encoding"


@every
def test_one_byte_too_many_is_refused(encoding: str) -> None:
    body = COMPRESS[encoding](bytes(70_001))
    assert refusal(body, encoding, 70_000).code == "body_too_large"
    assert len(decoded(body, encoding, 70_001)) == 70_001


@every
def test_a_bomb_takes_no_more_memory_than_the_limit(encoding: str) -> None:
    bomb = COMPRESS[encoding](bytes(200 * MIB))
    tracemalloc.start()
    try:
        assert refusal(bomb, encoding, 3 * MIB).code == "body_too_large"
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


def test_a_declared_size_is_not_believed_beyond_the_limit() -> None:
    assert refusal(b"\xff\xff\xff\xff\x0f" + b"junk", "snappy").code == "body_too_large"


@every
def test_several_pieces_in_a_row_are_one_body_where_the_format_says_so(encoding: str) -> None:
    piece = COMPRESS[encoding](b"abc")
    if encoding in ("snappy", "deflate"):
        assert refusal(piece * 2, encoding).code == "bad_encoding"
    else:
        assert decoded(piece * 2, encoding, 6) == b"abcabc"
        assert refusal(piece * 1000, encoding, 2999).code == "body_too_large"
