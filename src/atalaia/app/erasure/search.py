"""Looks whether anything of an erased subject is left: in tables, in the files of the data folder, in the store.

What is found is counted by place. The record of what was done and answered is chained, and stays: it is found here
too, and the certificate says so.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cramjam
from sqlalchemy import JSON, LargeBinary, String, Text, inspect, select
from sqlalchemy import cast as as_type

from atalaia.app.erasure.parts import Parts
from atalaia.app.migrations.tables import METADATA
from atalaia.core.errors import AtalaiaError, Broken, Missing
from atalaia.kit.audit.columns import names_any
from atalaia.kit.blobs import Seals

_FOLDERS = ("models", "memory", "audit")
"""Of the store. Blocks of history hold numbers, times and values, and no name of anybody."""
DEPLOYMENTS = "deployments.json"
"""What predictors remember of what serves."""
_CHUNK = 1 << 22
_COPIES = "copies"
"""Of objects that lie in a bucket."""
_APART = ("blobs", "secrets")
UNREAD = "unread"
"""Counts objects that lie there sealed, with no key to open them."""
GoOn = Callable[[], object]


def search(parts: Parts, words: Sequence[str], go_on: GoOn) -> dict[str, Any]:
    """Return how many words were looked for, and where something holds one: rows, files, objects by place."""
    wanted = forms_of(words)
    if not wanted:
        return {"words": 0, "rows": {}, "files": {}, "objects": {}}
    return {
        "words": len(words),
        "rows": _rows(parts, wanted, go_on),
        "files": _files(parts, wanted, go_on),
        "objects": _objects(parts, wanted, list(words), go_on),
    }


def forms_of(words: Iterable[str]) -> list[bytes]:
    """Return how words may be written: as they are, in JSON, in the address of a model."""
    forms = (form for word in words for form in (word, json.dumps(word)[1:-1], quote(word, safe=" ")))
    return sorted({form.encode("utf-8", "surrogatepass") for form in forms})


def _rows(parts: Parts, wanted: Sequence[bytes], go_on: GoOn) -> dict[str, int]:
    found: dict[str, int] = {}
    with parts.database.read() as session:
        there = set(inspect(session.connection()).get_table_names())
    for table in METADATA.sorted_tables:
        if table.name not in there:  # of an extension that is not in use, say
            continue
        columns = [
            as_type(column, Text) if isinstance(column.type, JSON) else column
            for column in table.columns
            if isinstance(column.type, String | Text | JSON | LargeBinary)
        ]
        if not columns:
            continue
        go_on()
        with parts.database.read() as session:
            rows = session.execute(select(*columns).execution_options(yield_per=2_000))
            count = sum(any(_holds(_bytes(cell), wanted) for cell in row) for row in rows)
        if count:
            found[table.name] = count
    return found


def _files(parts: Parts, wanted: Sequence[bytes], go_on: GoOn) -> dict[str, int]:
    """Return how many files of the data folder hold a word, by the first part of their path."""
    folder = parts.settings.data_dir.absolute()
    found: dict[str, int] = {}
    for path in sorted(folder.rglob("*")):
        place, *within = path.relative_to(folder).parts
        place = f"{place}/{within[0]}" if place == _COPIES and within else place
        if place in _APART or not path.is_file():
            continue
        go_on()
        is_copy = place.startswith(f"{_COPIES}/")
        if _copy_holds(parts.blobs.seals, path, folder / _COPIES, wanted) if is_copy else _file_holds(path, wanted):
            found[place] = found.get(place, 0) + 1
    return found


def _objects(parts: Parts, wanted: Sequence[bytes], words: Sequence[str], go_on: GoOn) -> dict[str, int]:
    found: dict[str, int] = {}
    for folder in _FOLDERS:
        for blob in list(parts.blobs.list(folder)):
            go_on()
            try:
                data = parts.blobs.get(blob.key)
            except Missing:  # removed meanwhile
                continue
            except Broken:
                found[UNREAD] = found.get(UNREAD, 0) + 1
                continue
            if _object_holds(blob.key, data, wanted, words):
                place = "/".join(blob.key.split("/")[: 2 if folder == "audit" else 1])
                found[place] = found.get(place, 0) + 1
    return found


def _object_holds(key: str, data: bytes, wanted: Sequence[bytes], words: Sequence[str]) -> bool:
    with suppress(cramjam.DecompressionError, ValueError, OSError):  # damaged: its bytes are looked at as they are
        if key.endswith(".zst"):
            data = bytes(cramjam.zstd.decompress(data))
        if key.endswith(".parquet"):
            return names_any(data, words)
    return _holds(data, wanted)


def _copy_holds(seals: Seals, path: Path, copies: Path, wanted: Sequence[bytes]) -> bool:
    try:
        stored = path.read_bytes()
    except OSError:  # removed meanwhile
        return False
    with suppress(AtalaiaError):
        return _holds(bytes(seals.opened(path.relative_to(copies).as_posix(), stored)), wanted)
    return _holds(stored, wanted)


def _file_holds(path: Path, wanted: Sequence[bytes]) -> bool:
    overlap = max(map(len, wanted)) - 1
    try:
        with path.open("rb") as file:
            before = b""
            while part := file.read(_CHUNK):
                if _holds(before + part, wanted):
                    return True
                before = part[-overlap:] if overlap else b""
    except OSError:  # removed meanwhile
        return False
    return False


def _holds(data: bytes | None, wanted: Iterable[bytes]) -> bool:
    return data is not None and any(word in data for word in wanted)


def _bytes(cell: Any) -> bytes | None:
    return cell.encode("utf-8", "surrogatepass") if isinstance(cell, str) else cell
