"""What a session says of itself to Telegram: its device, and the application's id.

An account that says something else of itself after a move or an import looks stolen. So a
session has one device for ever: its own, which no host has a part in, or the one with which
it was imported. Source: core.telegram.org/method/initConnection.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from afx.errors import UsageError

LONGEST_FILE = 64 * 1024
_LONGEST = 100
_OTHER_NAMES = {
    "app_id": "api_id",
    "app_hash": "api_hash",
    "device": "model",
    "device_model": "model",
    "sdk": "system",
    "system_version": "system",
    "app_version": "app",
    "lang_code": "lang",
    "system_lang_code": "system_lang",
    "system_lang_pack": "system_lang",
}
"""Names in the files that come with logins → ours."""


@dataclass(slots=True, frozen=True)
class Device:
    """A device as Telegram lists it; with an application's id, if it has its own."""

    model: str
    system: str = "Linux"
    app: str = ""
    """The version of the application; empty: that of the library."""
    lang: str = "en"
    system_lang: str = "en"
    lang_pack: str = ""
    api_id: int = 0
    """0: that of the settings."""
    api_hash: str = ""

    def __repr__(self) -> str:
        """Return it without what is secret."""
        return f"Device({self.model!r}, {self.system!r}, api_id={self.api_id})"

    @property
    def text(self) -> str:
        """The whole as JSON, as ``parse_device`` takes it."""
        return json.dumps(asdict(self), separators=(",", ":"))


def own_device(session_id: int) -> Device:
    """Return the device of a session that was signed in here; it is the same on each host."""
    return Device(f"afx {session_id}")


def parse_device(text: str) -> Device:
    """Return the device that a JSON object describes; other keys in it count for nothing.

    Raises UsageError; no message repeats a value.
    """
    if len(text) > LONGEST_FILE:
        raise UsageError("The description of the device is too long.")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise UsageError("The description of the device is no JSON.") from None
    if not isinstance(found, dict):
        raise UsageError("The description of the device is no JSON object.")
    names = Device.__dataclass_fields__
    # Telegram refuses an empty system or language: what is empty is as if it were not there.
    values = {
        _OTHER_NAMES.get(it, it): value for it, value in found.items() if not _is_empty(value)
    }
    chosen = {it: value for it, value in values.items() if it in names}
    if "model" not in chosen:
        raise UsageError("The description of the device has no 'device_model'.")
    device = Device(**{it: _checked(it, value) for it, value in chosen.items()})
    if bool(device.api_id) != bool(device.api_hash):
        raise UsageError("The device has an api_id or an api_hash alone; give both, or neither.")
    return device


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip(" "))


def _checked(name: str, value: Any) -> Any:
    if name == "api_id":
        if isinstance(value, str) and re.fullmatch("[0-9]{1,10}", value):
            value = int(value)
        if type(value) is not int or not 0 <= value < 2**31:
            raise UsageError("The device's api_id is no whole number from 1 to 2147483647.")
        return value
    if not isinstance(value, str) or len(value) > _LONGEST or (value and not value.isprintable()):
        raise UsageError(f"The device's '{name}' is no text of at most {_LONGEST} characters.")
    if name == "api_hash" and value and not re.fullmatch("[0-9a-f]{32}", value):
        raise UsageError("The device's api_hash has not 32 hexadecimal digits.")
    return value
