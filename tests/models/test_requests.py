"""Requests with an idempotency key, and browsers' sign-outs, on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from models import base
from models.accounts import ApiRequest, ApiSignOut
from models.storage import requests, tokens


@pytest.fixture
def token(database: Any) -> int:
    until = base.utc_now() + timedelta(days=1)
    return tokens.create(tokens.NewToken("ci", "1", "a" * 64, ["*"], None, until))


def test_a_key_is_taken_once_and_gives_the_answer_afterwards(token: int) -> None:
    assert requests.claim(token, "k", "d") is None
    requests.answer(token, "k", status=201, headers={"location": "/x"}, body="{}")
    found = requests.claim(token, "k", "other")
    assert found is not None
    assert (found["digest"], found["status"], found["headers"]) == ("d", 201, {"location": "/x"})
    assert requests.claim(token, "k2", "d") is None


def test_a_key_is_free_again_after_a_day(token: int) -> None:
    requests.claim(token, "k", "d")
    ApiRequest.update(created_at=base.utc_now() - requests.KEPT - timedelta(seconds=1)).execute()
    assert requests.claim(token, "k", "d2") is None
    assert ApiRequest.select().count() == 1


def test_a_sign_out_is_remembered_until_it_expires(database: Any) -> None:
    now = base.utc_now()
    tokens.sign_out("old", now - timedelta(seconds=1))
    tokens.sign_out("new", now + timedelta(hours=1))
    tokens.sign_out("new", now + timedelta(hours=1))
    assert tokens.signed_out() == {"new"}
    assert ApiSignOut.select().count() == 1
