"""A secret key that was lost: no other one is made while something needs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from afx.app import ProcessServers
from afx.config import load
from afx.errors import SecretError
from afx.operations import users
from afx.operations.context import Actor


@pytest.fixture
def used_home(home: Path) -> Path:
    """A home whose audit log has an entry, and whose key was lost then."""
    with ProcessServers(load(home=home)) as servers:
        users.add(servers.context(Actor("me")), "alice", "free")
    (home / "secret.key").unlink()
    return home


def make_vault(servers: ProcessServers) -> None:
    servers.vault()


def make_change(servers: ProcessServers) -> None:
    users.add(servers.context(Actor("me")), "bob", "free")


@pytest.mark.parametrize("act", [make_vault, make_change])
def test_a_lost_key_is_not_made_again(
    used_home: Path, act: Callable[[ProcessServers], None]
) -> None:
    with ProcessServers(load(home=used_home)) as servers:
        with pytest.raises(SecretError, match="no new one is made"):
            act(servers)
    assert not (used_home / "secret.key").exists()


def test_an_empty_home_gets_a_key(home: Path) -> None:
    with ProcessServers(load(home=home)) as servers:
        servers.vault()
        make_change(servers)
    assert (home / "secret.key").stat().st_mode & 0o777 == 0o600
