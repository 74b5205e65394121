"""URLs for people and logs: without what must stay secret."""

from __future__ import annotations

import re

_USER_PASSWORD = re.compile(r"(://[^/?#:@\s]*):\S*@")
"""Up to the last @: a password that was not quoted may contain anything."""
_IN_QUERY = re.compile(
    r"(?i)([?&;][a-z_]*(?:password|passwd|passphrase|secret|token|pwd)=)[^&;#\s]*"
)


def without_password(text: str) -> str:
    """Return a text in which each URL's password is replaced, wherever it is in the URL."""
    return _IN_QUERY.sub(r"\1…", _USER_PASSWORD.sub(r"\1:…@", text))
