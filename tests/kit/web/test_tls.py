"""Certificates are checked at the start, and taken up anew when they change."""

import ssl
from pathlib import Path

import pytest

from atalaia.core.errors import Invalid
from atalaia.kit.web.tls import TlsFiles, TlsSettings, tls_files
from tests.kit.web.certificates import Authority


def test_without_files_there_is_plain_http() -> None:
    assert tls_files(TlsSettings()) is None


def test_old_versions_of_tls_are_not_spoken(tmp_path: Path) -> None:
    context = TlsFiles(Authority(tmp_path).issue("server")).context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("missing", ["cert_file", "key_file"])
def test_a_certificate_and_its_key_are_needed_together(tmp_path: Path, missing: str) -> None:
    told = Authority(tmp_path).issue("server").model_copy(update={missing: None})
    with pytest.raises(Invalid, match="together"):
        tls_files(told)


@pytest.mark.parametrize("damage", ["gone", "rubbish", "other key"])
def test_files_that_cannot_be_used_are_refused_at_the_start(tmp_path: Path, damage: str) -> None:
    authority = Authority(tmp_path)
    told = authority.issue("server")
    assert told.key_file is not None
    if damage == "gone":
        told.key_file.unlink()
    elif damage == "rubbish":
        told.key_file.write_text("rubbish")
    else:
        other = authority.issue("other").key_file
        assert other is not None
        told = told.model_copy(update={"key_file": other})
    with pytest.raises(Invalid) as refused:
        tls_files(told)
    assert refused.value.code == "invalid_settings"


def test_files_that_do_not_fit_any_more_leave_the_old_ones_in_use(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    told = authority.issue("server")
    files = TlsFiles(told)
    assert files.look() is False
    assert told.key_file is not None
    told.key_file.write_text("rubbish")
    files.look()
    before = files._seen
    authority.issue("server")
    files.look()
    assert files._seen != before
