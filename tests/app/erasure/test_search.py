"""The search finds a word wherever it stands, in the forms in which it is written, and says where."""

from io import BytesIO
from pathlib import Path
from typing import Any

import cramjam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atalaia.app.build import Atalaia
from atalaia.app.erasure.search import forms_of, search
from atalaia.kit.idempotency import IdempotencyRow
from atalaia.signals.store.catalogue import SeriesRow
from tests.app.conftest import BuildOne

WORD = "água de ada/1"
NOTHING = {"words": 1, "rows": {}, "files": {}, "objects": {}}


@pytest.fixture
def atalaia(build_one: BuildOne) -> Atalaia:
    return build_one()


def found(atalaia: Atalaia, *words: str) -> dict[str, Any]:
    return search(atalaia.erasures.parts, words or (WORD,), lambda: None)


def test_nothing_is_found_where_nothing_is(atalaia: Atalaia) -> None:
    assert found(atalaia) == NOTHING
    assert search(atalaia.erasures.parts, (), lambda: None)["words"] == 0


def test_rows_hold_it_as_text_and_in_json(atalaia: Atalaia) -> None:
    with atalaia.database.write() as session:
        session.add(SeriesRow(number=1, series_id="other", labels={"site": WORD}, created_at=1))
        session.add(IdempotencyRow(key="k", route=f"POST {WORD}", fingerprint="", answer={}, created_at=1))
    told = found(atalaia)
    assert told["rows"] == {"series": 1, "idempotency_keys": 1}
    assert set(told["files"]) <= {"atalaia.db", "atalaia.db-wal"}
    assert told["files"]


@pytest.mark.parametrize("form", range(3))
def test_files_and_objects_hold_it_in_every_form(atalaia: Atalaia, form: int) -> None:
    data = b"x" * (1 << 22) + forms_of([WORD])[form] + b"y"  # across the parts that are read at a time
    (atalaia.settings.data_dir / "mlflow").mkdir()
    (atalaia.settings.data_dir / "mlflow" / "m.db").write_bytes(data[5:])
    atalaia.blobs.put("models/a.npz", data)
    assert found(atalaia) == {**NOTHING, "files": {"mlflow": 1}, "objects": {"models": 1}}


def test_what_is_sealed_is_opened_or_told_of(build_one: BuildOne, tmp_path: Path) -> None:
    (key_file := tmp_path / "key").write_bytes(b"k" * 32)
    sealed = build_one(encryption={"key_file": key_file, "blobs": True})
    sealed.blobs.put("memory/a", WORD.encode())
    copy = sealed.settings.data_dir / "copies" / "memory" / "a"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(sealed.blobs.path("memory/a").read_bytes())
    assert WORD.encode() not in copy.read_bytes()
    assert found(sealed) == {**NOTHING, "files": {"copies/memory": 1}, "objects": {"memory": 1}}
    copy.unlink()
    stored = sealed.blobs.path("memory/a")
    stored.write_bytes(stored.read_bytes()[:-9])
    assert found(sealed) == {**NOTHING, "objects": {"unread": 1}}


def test_what_is_damaged_is_looked_at_as_it_is(atalaia: Atalaia) -> None:
    for key in ("audit/predictions/date=2026-01-01/a.parquet", "audit/journal/date=2026-01-01/a.journal.zst"):
        atalaia.blobs.put(key, b"PAR1 no " + WORD.encode() + b" PAR1")
    assert found(atalaia)["objects"] == {"audit/journal": 1, "audit/predictions": 1}
    assert found(atalaia, "somebody else") == NOTHING


def test_what_is_packed_is_unpacked(atalaia: Atalaia) -> None:
    sink = BytesIO()
    pq.write_table(pa.table({"series_id": ["b", WORD, None], "value": [1.0, 2.0, 3.0]}), sink, compression="zstd")
    atalaia.blobs.put("audit/predictions/date=2026-01-01/a.parquet", sink.getvalue())
    atalaia.blobs.put("audit/journal/date=2026-01-01/a.journal.zst", bytes(cramjam.zstd.compress(WORD.encode())))
    assert found(atalaia)["objects"] == {"audit/journal": 1, "audit/predictions": 1}
    assert found(atalaia, "somebody else") == NOTHING
