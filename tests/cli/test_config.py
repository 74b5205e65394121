"""Settings: every mistake is named, in words of ours, by every command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.cli_runs import Run, complains, runner

from afx import config, config_text
from afx.errors import ConfigError


@pytest.fixture
def afx(home: Path) -> Run:
    return runner(home)


@pytest.mark.parametrize("command", [("config", "check"), ("user", "list"), ("doctor",)])
def test_a_misspelt_variable_is_refused_with_the_right_name(
    afx: Run, command: tuple[str, ...]
) -> None:
    done = afx(*command, AFX_MAX_SESION="5")
    complains(done, 2, "AFX_MAX_SESION", "did you mean AFX_MAX_SESSIONS?")


def test_a_variable_that_resembles_no_setting_is_refused_without_a_guess(afx: Run) -> None:
    done = afx("config", "check", AFX_ZZZ="5")
    complains(done, 2, "AFX_ZZZ: there is no such setting.")
    assert "did you mean" not in done.stderr


def test_variables_of_afx_that_are_no_settings_are_accepted(afx: Run) -> None:
    done = afx("config", "check", AFX_DEBUG="0", AFX_PYTHON="python3", AFX_SCHEDULES="5")
    assert done.returncode == 0, done.stderr


def test_a_misspelt_setting_in_the_file_is_refused_with_the_right_name(
    afx: Run, home: Path
) -> None:
    (home / "afx.toml").write_text("redis_ulr = 'x'\n")
    complains(afx("config", "check"), 2, "redis_ulr", "did you mean redis_url?")


def test_all_mistakes_are_named_at_once(afx: Run, home: Path) -> None:
    (home / "afx.toml").write_text("lease_profile = 'slow'\nsession_kib = 0\n")
    done = afx("config", "check", AFX_MAX_SESION="5", AFX_LINK_DAYS="x", AFX_SECRET_KEY="abcde")
    complains(
        done,
        2,
        "5 settings are wrong",
        "AFX_MAX_SESION",
        "link_days: it must be a whole number",
        "lease_profile: it must be 'fast' or 'safe'",
        "session_kib: it must be at least 1",
        "secret_key: it must be one or more Fernet keys",
    )
    assert "abcde" not in done.stderr


def test_settings_that_do_not_fit_together_are_all_named(afx: Run) -> None:
    done = afx("config", "check", AFX_HEARTBEAT_SECONDS="9", AFX_LEADER_STOP_SECONDS="9")
    complains(done, 2, "heartbeat_seconds", "leader_stop_seconds")


def test_labels_are_read_from_json_and_refused_otherwise(afx: Run) -> None:
    assert afx("config", "check", AFX_LABELS='{"region": "eu"}').returncode == 0
    complains(afx("config", "check", AFX_LABELS="region=eu"), 2, "labels: it must be a JSON object")
    complains(afx("config", "check", AFX_LABELS="[1]"), 2, "labels: it must be a table of texts")


def test_a_key_file_that_holds_no_key_is_found_by_the_check(afx: Run, home: Path) -> None:
    (home / "secret.key").write_text("abcde")
    complains(afx("config", "check"), 1, "Fernet key", "secret.key")


@pytest.mark.parametrize("harm", ["mode", "directory", "owner", "link"])
def test_a_settings_file_that_another_user_may_have_written_is_not_trusted(
    home: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    directory = home / "work"
    directory.mkdir()
    monkeypatch.chdir(directory)
    path = directory / "afx.toml"
    if harm == "link":
        (home / "other.toml").write_text("max_sessions = 7\n")
        (home / "other.toml").chmod(0o666)
        path.symlink_to(home / "other.toml")
    else:
        path.write_text("max_sessions = 7\n")
    if harm == "mode":
        path.chmod(0o620)
    elif harm == "directory":
        directory.chmod(0o777)
    elif harm == "owner":
        monkeypatch.setattr("os.geteuid", lambda: path.stat().st_uid + 1)
        if path.stat().st_uid == 0:
            os.chown(path, 12345, -1)
    with pytest.raises(ConfigError, match="AFX_CONFIG"):
        config.load()
    monkeypatch.setenv("AFX_CONFIG", str(path))
    assert config.load().max_sessions == 7


def test_a_settings_file_of_this_user_is_trusted(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    (home / "afx.toml").write_text("max_sessions = 7\n")
    assert config.load().max_sessions == 7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (".".join(["a"] * 120_000) + " = 1", "nested too deeply"),
        ("#" * 300_000, "more than 256 KiB"),
    ],
)
def test_a_settings_file_that_would_exhaust_the_memory_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    monkeypatch.chdir(home)
    (home / "afx.toml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        config.load()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"api_id = 100000000000000000000000000", "api_id: it must be less than 2147483648"),
        (b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_a_settings_file_with_such_content_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, complaint: str
) -> None:
    path = tmp_path / "afx.toml"
    path.write_bytes(content)
    monkeypatch.setenv("AFX_CONFIG", str(path))
    with pytest.raises(ConfigError, match=complaint):
        config.load()


def test_a_path_of_the_settings_file_that_is_too_long_is_shown_shortened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AFX_CONFIG", "/" + "a" * 5000)
    with pytest.raises(ConfigError, match="is no file") as refused:
        config.load()
    assert len(str(refused.value)) < 400


def test_names_in_the_file_and_of_variables_are_of_any_case_also_where_they_are_shown(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "afx.toml").write_text(
        "LOG_LEVEL = 'debug'\nTask_Slots = 7\ntask_slots = 8\n[Labels]\nRegion = 'eu'\n"
    )
    monkeypatch.setenv("AFX_CONFIG", str(home / "afx.toml"))
    monkeypatch.setenv("afx_web_port", "9")
    with pytest.raises(ConfigError, match="Task_Slots: there is no such setting"):
        config.load()
    (home / "afx.toml").write_text("LOG_LEVEL = 'debug'\n[Labels]\nRegion = 'eu'\n")
    settings = config.load()
    read = (settings.log_level, settings.labels, settings.web_port)
    assert read == ("debug", {"Region": "eu"}, 9)
    shown = {it["name"]: it["source"] for it in config_text.described(settings)}
    assert shown["web_port"] == "afx_web_port"
    assert shown["log_level"] == shown["labels"] == str(home / "afx.toml")
