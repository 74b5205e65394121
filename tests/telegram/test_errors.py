"""What Telegram's errors mean to a session, judged by their names."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from telethon import errors

from afx.telegram.errors import error_name, is_lost_login, logged


@dataclass
class RpcError:
    error_code: int
    error_message: str


def telethon_error(code: int, name: str) -> errors.RPCError:
    """Return the error as Telethon raises it; a 406 that it does not list by its code alone."""
    return errors.rpc_message_to_error(RpcError(code, name), None)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (406, "AUTH_KEY_DUPLICATED"),
        (401, "AUTH_KEY_UNREGISTERED"),
        (401, "SESSION_REVOKED"),
        (401, "USER_DEACTIVATED_BAN"),
        (401, "A_NAME_THAT_TELETHON_DOES_NOT_LIST"),
    ],
)
def test_these_errors_say_that_the_login_is_lost(code: int, name: str) -> None:
    assert is_lost_login(telethon_error(code, name))


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (406, "TOPIC_CLOSED"),
        (406, "PRIVACY_PREMIUM_REQUIRED"),
        (406, "PREMIUM_CURRENTLY_UNAVAILABLE"),
        (403, "CHAT_WRITE_FORBIDDEN"),
        (420, "FLOOD_WAIT_60"),
        (500, "AUTH_RESTART"),
    ],
)
def test_no_other_error_is_a_lost_login(code: int, name: str) -> None:
    assert not is_lost_login(telethon_error(code, name))


def test_an_unknown_auth_key_is_a_lost_login_and_a_lost_connection_is_not() -> None:
    assert is_lost_login(errors.AuthKeyNotFound())
    assert not is_lost_login(ConnectionError("reset"))


@pytest.mark.parametrize("name", ["TOPIC_CLOSED", "CHAT_WRITE_FORBIDDEN", "SESSION_REVOKED"])
def test_an_error_has_the_name_that_telegram_gave_it(name: str) -> None:
    assert error_name(telethon_error(406 if name == "TOPIC_CLOSED" else 400, name)) == name


def test_what_is_logged_of_an_unreadable_answer_has_no_content_of_it() -> None:
    text = logged(errors.TypeNotFoundError(0x1234, b"a secret text"))
    assert "secret" not in text
    assert "0x1234" in text
