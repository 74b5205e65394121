"""Trying proxies from this machine: does Telegram answer through them?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from afx.errors import UsageError
from afx.operations.context import Context, operation
from afx.operations.proxies import note_checks, opened
from afx.proxies import parse_proxy

MOST = 100
"""Proxies that are checked at once; each may take ten seconds, fifty at a time."""


@dataclass(slots=True, frozen=True)
class CheckedProxy:
    """What a check of one proxy found."""

    name: str
    state: str
    """works or fails."""
    milliseconds: int | None
    """How long connecting and the first answer took; None: it fails."""
    error: str


@operation("proxy:write")
def check(context: Context, names: Sequence[str] = (), *, pool: str = "") -> list[CheckedProxy]:
    """Check the proxies of these names, or of a pool, or all; what is found is stored.

    No account is needed. A dry run stores nothing. Raises UsageError for more than ``MOST``.
    """
    # Telethon takes long to import, and few processes ever need it.
    from afx.telegram.proxy_check import check_proxies

    found = opened(context, names, pool=pool)
    if len(found) > MOST:
        raise UsageError(
            f"{len(found)} proxies are more than the {MOST} that are checked at once; give the "
            "names of some, or a pool."
        )
    checks = asyncio.run(check_proxies([parse_proxy(it.url) for it in found]))
    pairs = list(zip(found, checks, strict=True))
    note_checks(context, [(it.id, each.error) for it, each in pairs])
    return [
        CheckedProxy(it.name, "fails" if each.error else "works", each.milliseconds, each.error)
        for it, each in pairs
    ]
