from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from afx.errors import SecretError
from afx.security.vault import Vault, load_vault


def test_a_stored_login_does_not_show_the_login() -> None:
    vault = Vault([Fernet.generate_key().decode()])
    sealed = vault.seal("1AgAO-secret", session_id=1)
    assert "secret" not in sealed
    assert vault.open(sealed, session_id=1) == "1AgAO-secret"


def test_a_login_stored_with_an_older_key_still_opens() -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    sealed = Vault([old]).seal("login", session_id=1)
    assert Vault([new, old]).open(sealed, session_id=1) == "login"


def test_a_login_of_another_cluster_gives_one_sentence() -> None:
    sealed = Vault([Fernet.generate_key().decode()]).seal("login", session_id=1)
    with pytest.raises(SecretError, match="AFX_SECRET_KEY"):
        Vault([Fernet.generate_key().decode()]).open(sealed, session_id=1)


def test_the_key_file_is_made_once_for_its_owner_only(home: Path) -> None:
    sealed = load_vault(home, "").seal("login", session_id=1)
    assert stat.S_IMODE((home / "secret.key").stat().st_mode) == 0o600
    assert load_vault(home, "").open(sealed, session_id=1) == "login"


def test_a_node_makes_no_key_of_its_own(home: Path) -> None:
    with pytest.raises(SecretError, match="no secret key"):
        load_vault(home, "", create=False)


@pytest.mark.parametrize("text", ["short", "=" * 44, "é" * 44, ",,"])
def test_what_is_no_key_is_refused_in_words(home: Path, text: str) -> None:
    with pytest.raises(SecretError, match="not a Fernet key"):
        load_vault(home, text)


def test_several_keys_come_newest_first(home: Path) -> None:
    new, old = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    sealed = Vault([old]).seal("login", session_id=1)
    assert load_vault(home, f"{new},{old}").open(sealed, session_id=1) == "login"


@pytest.mark.parametrize("session_id", [0, 2, 11])
def test_a_login_does_not_open_for_another_session(session_id: int) -> None:
    vault = Vault([Fernet.generate_key().decode()])
    sealed = vault.seal("login", session_id=1)
    with pytest.raises(SecretError, match="belongs to another session"):
        vault.open(sealed, session_id=session_id)


def test_a_login_that_was_changed_does_not_open() -> None:
    vault = Vault([Fernet.generate_key().decode()])
    sealed = vault.seal("login", session_id=1)
    for index in range(0, len(sealed), 3):
        changed = sealed[:index] + ("A" if sealed[index] != "A" else "B") + sealed[index + 1 :]
        with pytest.raises(SecretError):
            assert vault.open(changed, session_id=1) != "login"
