"""Users and channels that were serialized before look as they do now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from afx.sandbox.telegram import mentions, views
from afx.sandbox.telegram.boxes import Box
from afx.sandbox.telegram.peers import Account, Channel

VIEWER = 5


def a_channel() -> Channel:
    return Channel(7, "title", "name", False, 1, Box(10), 1_000, members={VIEWER})


def an_account() -> Account:
    return Account(VIEWER, "999", "first", "name", Box(10))


@pytest.mark.parametrize(
    "change",
    [
        lambda it: setattr(it, "title", "another"),
        lambda it: setattr(it, "username", ""),
        lambda it: it.usernames.append("second"),
        lambda it: setattr(it, "creator", VIEWER),
        lambda it: setattr(it, "date", 2_000),
        lambda it: setattr(it, "megagroup", True),
        lambda it: setattr(it, "noforwards", True),
        lambda it: setattr(it, "slow_mode_seconds", 5),
        lambda it: it.set_forum(True),
        lambda it: it.members.clear(),
        lambda it: it.banned.add(VIEWER),
    ],
)
@pytest.mark.parametrize("viewer", [0, VIEWER])
def test_a_channel_that_has_changed_is_shown_changed(
    change: Callable[[Channel], Any], viewer: int
) -> None:
    channel = a_channel()
    for _ in range(2):
        [shown] = mentions.split([channel], viewer)[1]
        assert bytes(shown) == bytes(views.chat(channel, viewer))
        change(channel)


@pytest.mark.parametrize(
    "change",
    [
        lambda it: setattr(it, "first_name", "another"),
        lambda it: setattr(it, "username", "another"),
        lambda it: it.usernames.append("second"),
        lambda it: setattr(it, "phone", "1"),
        lambda it: setattr(it, "bot_token", "5:secret"),
    ],
)
@pytest.mark.parametrize("viewer", [0, VIEWER, 6])
def test_an_account_that_has_changed_is_shown_changed(
    change: Callable[[Account], Any], viewer: int
) -> None:
    account = an_account()
    for _ in range(2):
        [shown] = mentions.split([account], viewer)[0]
        assert bytes(shown) == bytes(views.user(account, viewer))
        change(account)


def test_no_more_than_a_limit_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mentions, "_MOST_KNOWN", 3)
    for viewer in range(20):
        mentions.split([a_channel()], viewer)
    assert len(mentions._known) <= 3
