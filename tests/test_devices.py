"""What a session says of itself: the same for ever, and no secret of it in a message."""

from __future__ import annotations

import json

import pytest

from afx.devices import Device, own_device, parse_device
from afx.errors import UsageError

HASH = "0123456789abcdef0123456789abcdef"


def test_a_device_is_read_as_it_was_written() -> None:
    whole = Device("Pixel 6", "SDK 33", "10.1", "de", "de-DE", "android", 4, HASH)
    assert parse_device(whole.text) == whole
    assert parse_device(own_device(7).text) == Device("afx 7", "Linux")
    assert HASH not in repr(whole)


def test_the_names_of_other_tools_are_understood_and_other_keys_are_nothing() -> None:
    found = {"app_id": "4", "app_hash": HASH, "device": "Pixel 6", "sdk": "SDK 33", "phone": "1"}
    assert parse_device(json.dumps(found)) == Device("Pixel 6", "SDK 33", api_id=4, api_hash=HASH)


@pytest.mark.parametrize(
    "found",
    [
        [],
        {},
        {"device_model": ""},
        {"device_model": 5},
        {"device_model": "x" * 101},
        {"device_model": "a\nb"},
        {"device_model": "x", "api_id": 4},
        {"device_model": "x", "api_hash": HASH},
        {"device_model": "x", "api_id": -1, "api_hash": HASH},
        {"device_model": "x", "api_id": True, "api_hash": HASH},
        {"device_model": "x", "api_id": 2**31, "api_hash": HASH},
        {"device_model": "x", "api_id": 4, "api_hash": "secret-secret"},
    ],
)
def test_what_is_no_device_is_refused_and_not_repeated(found: object) -> None:
    with pytest.raises(UsageError) as caught:
        parse_device(json.dumps(found))
    assert HASH not in str(caught.value) and "secret-secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "x", "[" * 100_000, "x" * 70_000])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_device(text)


def test_what_is_empty_is_as_if_it_were_not_there() -> None:
    found = {"device_model": "x", "system_version": "", "lang_code": "", "system_lang_code": " "}
    assert parse_device(json.dumps(found)) == Device("x")
    assert parse_device(json.dumps({**found, "sdk": "SDK 33", "api_id": ""})).system == "SDK 33"
    with pytest.raises(UsageError, match="device_model"):
        parse_device(json.dumps({"device_model": " "}))
