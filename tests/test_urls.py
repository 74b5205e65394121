"""Passwords in URLs are never shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afx.cluster.connection import connect
from afx.errors import ConfigError, UnreachableError
from afx.urls import without_password
from models import base


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hidden@host:6379/0",
        "rediss://me:hidden@host/0?ssl_ca_certs=/x",
        "redis://me:hid:hidden@host",
        "redis://me:a@hidden@host",
        "redis://me:a/hidden@host",
        "redis://host/0?password=hidden",
        "unix:///run/host.sock?db=1&password=hidden",
        "postgresql://me:hidden@host/afx",
        "postgresql://host/afx?user=me&password=hidden&sslmode=verify-full",
        "postgresql://host/afx?sslpassword=hidden",
        "see redis://:hidden@host and postgresql://a:hidden@b/c",
    ],
)
def test_a_password_is_hidden_wherever_it_is_in_a_url(url: str) -> None:
    assert "hidden" not in without_password(url)
    assert "host" in without_password(url)


@pytest.mark.parametrize(
    "url",
    ["redis://host:6379/0", "redis://me@host:6379/0", "sqlite:////home/me/afx.db", "unix:///a@b"],
)
def test_a_url_without_a_password_is_shown_as_it_is(url: str) -> None:
    assert without_password(url) == url


@given(st.text(st.characters(exclude_categories=["Z", "C"]), max_size=20))
def test_no_password_is_shown_whatever_it_contains(text: str) -> None:
    assert "qZ9" not in without_password(f"redis://me:qZ9{text}qZ9@host/0")


def test_errors_show_no_password() -> None:
    with pytest.raises(ConfigError) as config:
        base.open_database("mysql://me:hidden@host/afx")
    with pytest.raises(UnreachableError) as redis:
        connect("odd://me:hidden@host/0")
    assert "hidden" not in str(config.value) + str(redis.value)
