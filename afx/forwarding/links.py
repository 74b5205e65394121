"""Addresses in messages, and where they lead instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_SCHEME = re.compile(r"^(?:[a-z][a-z0-9+.-]*://)?(?:www\.)?", re.IGNORECASE | re.ASCII)
_ENDS = "/?#:"


def rewriter(pairs: Mapping[str, str]) -> Callable[[str], str | None]:
    """Return what gives an address its new form; None for one that stays.

    The longest old address that the address begins with is replaced, up to a border: that
    of ``example.org`` does not begin ``example.organic``. Upper and lower case are the same.
    """
    wanted = sorted(
        ((_bare(old).rstrip("/").casefold(), new) for old, new in pairs.items()),
        key=lambda it: -len(it[0]),
    )

    def rewrite(address: str) -> str | None:
        head = _SCHEME.match(address)
        assert head is not None
        rest = address[head.end() :]
        folded = rest.casefold()
        for old, new in wanted:
            if folded.startswith(old) and len(folded) == len(rest):
                after = rest[len(old) :]
                if not after or after[0] in _ENDS:
                    return _with_scheme(new, head[0]) + after
        return None

    return rewrite


def _bare(address: str) -> str:
    return _SCHEME.sub("", address, count=1)


def _with_scheme(new: str, head: str) -> str:
    if "://" in new:
        return new.rstrip("/")
    scheme, sign, _ = head.partition("://")
    return f"{scheme}{sign}{new}".rstrip("/") if sign else new.rstrip("/")
