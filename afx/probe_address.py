"""Where a process answers probes, as the setting says it."""

from __future__ import annotations


def parse_address(text: str) -> tuple[str, range]:
    """Return host and ports of ``HOST:PORT`` or ``HOST:FIRST-LAST``; raises ValueError."""
    host, colon, ports = text.rpartition(":")
    first, dash, last = ports.partition("-")
    numbers = (first, last) if dash else (first,)
    if not colon or not host or not all(it.isascii() and it.isdecimal() for it in numbers):
        raise ValueError("it is HOST:PORT or HOST:FIRST-LAST")
    found = range(int(first), int(numbers[-1]) + 1)
    if not found or found[-1] > 65535:
        raise ValueError("its ports are between 0 and 65535, the first one not above the last")
    return host.removeprefix("[").removesuffix("]"), found
