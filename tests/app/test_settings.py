"""Settings come from a file, the environment and flags; whatever is wrong is said at once, by its name."""

import os
from pathlib import Path
from typing import Any

import pytest

from atalaia.app.settings import Settings, load_settings
from atalaia.core.errors import Invalid


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, and put the environment back afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    return tmp_path


def say(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setitem(os.environ, f"ATALAIA_{name}", value)


def wrong(overrides: dict[str, Any] | None = None) -> Invalid:
    with pytest.raises(Invalid) as refused:
        load_settings(overrides)
    assert refused.value.code == "invalid_settings"
    assert refused.value.detail.endswith(". Nothing was started.")
    return refused.value


def pointers(refused: Invalid) -> set[str]:
    return {fault.pointer for fault in refused.faults}


def test_without_anything_the_defaults_hold() -> None:
    settings = load_settings()
    assert (settings.host, settings.port, settings.data_dir) == ("127.0.0.1", 8460, Path("var/atalaia"))
    assert settings.serving.warm_models == 100


def test_the_file_is_read(folder: Path) -> None:
    (folder / "atalaia.toml").write_text(
        'port = 1\n[signals]\nretention_days = 7\n[[signals.fleet_rules]]\nmatch = "p*"\n'
    )
    settings = load_settings()
    assert (settings.port, settings.signals.retention_days, settings.serving.warm_models) == (1, 7, 100)
    assert settings.signals.fleet_rules[0].match == "p*"


def test_another_file_can_be_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "atalaia.toml").write_text("port = 1\n")
    (folder / "other.toml").write_text("port = 2\n")
    say(monkeypatch, CONFIG=str(folder / "other.toml"))
    assert load_settings().port == 2


def test_flags_win_over_the_environment_and_that_over_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "atalaia.toml").write_text("port = 1\nhost = 'file'\nlog_level = 'error'\n")
    say(monkeypatch, PORT="2", HOST="environment")
    settings = load_settings({"port": 3})
    assert (settings.port, settings.host, settings.log_level) == (3, "environment", "error")


def test_nested_names_reach_nested_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "atalaia.toml").write_text("[serving]\nwarm_models = 1\nretry_s = 1.0\nflush_s = 1.0\n")
    say(monkeypatch, SERVING__RETRY_S="2.0", SERVING__FLUSH_S="2.0", LIFECYCLE__COOLDOWN_S="2.0")
    settings = load_settings({"serving.flush_s": 3.0, "serving.refresh_s": 3.0, "signals.max_batch_points": 3})
    told = settings.serving
    assert (told.warm_models, told.retry_s, told.flush_s, told.refresh_s) == (1, 2.0, 3.0, 3.0)
    assert (settings.lifecycle.cooldown_s, settings.signals.max_batch_points) == (2.0, 3)


def test_every_wrong_setting_is_told_at_once_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "atalaia.toml").write_text('log_level = "loud"\n[serving]\nwarm_models = -1\n')
    say(monkeypatch, PORT="eighty", SERVING__RETRY_S="0")
    refused = wrong({"lifecycle.cooldown_s": -5})
    assert pointers(refused) == {
        "/log_level",
        "/serving/warm_models",
        "/port",
        "/serving/retry_s",
        "/lifecycle/cooldown_s",
    }
    for name in ("log_level", "serving.warm_models", "port", "serving.retry_s", "lifecycle.cooldown_s"):
        assert f"{name}: " in refused.detail


def test_unknown_names_in_the_file_are_refused(folder: Path) -> None:
    (folder / "atalaia.toml").write_text("prot = 1\n[serving]\nwarm = 1\n[kitchen]\nsink = 1\n")
    assert pointers(wrong()) == {"/prot", "/serving/warm", "/kitchen"}


def test_unknown_nested_names_of_the_environment_and_of_flags_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    say(monkeypatch, SERVING__WARM="1")
    assert pointers(wrong({"signals.nothing": 1})) == {"/serving/warm", "/signals/nothing"}


@pytest.mark.parametrize("text", [b"port = \n", b"[serving\n", b"port = 1 # \xff\n", b"port = 1\nport = 2\n"])
def test_a_file_that_is_not_toml_is_refused_by_its_name(folder: Path, text: bytes) -> None:
    (folder / "atalaia.toml").write_bytes(text)
    assert wrong().detail.startswith("atalaia.toml: ")


def test_a_named_file_that_is_not_there_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    say(monkeypatch, CONFIG=str(folder / "gone.toml"), PORT="x")
    refused = wrong()
    assert "ATALAIA_CONFIG: there is no file" in refused.detail
    assert pointers(refused) == {"", "/port"}
    say(monkeypatch, CONFIG=str(folder), PORT="1")
    assert "ATALAIA_CONFIG" in wrong().detail


def test_a_section_in_the_environment_that_is_no_json_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    say(monkeypatch, SIGNALS="everything")
    refused = wrong()
    assert refused.detail.startswith("the environment: ")
    assert "signals" in refused.detail


def test_the_database_is_a_file_in_the_data_folder_unless_said_otherwise(folder: Path) -> None:
    assert load_settings({"data_dir": "x"}).sqlalchemy_url == f"sqlite:///{folder / 'x' / 'atalaia.db'}"
    assert load_settings({"database_url": "postgresql://a/b"}).sqlalchemy_url == "postgresql://a/b"


def test_settings_do_not_change(folder: Path) -> None:
    settings = load_settings({"data_dir": folder})
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1
    assert isinstance(settings, Settings)


def test_mlflow_is_told_to_keep_its_use_to_itself() -> None:
    load_settings()
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
