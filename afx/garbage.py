"""How often Python looks for garbage that counting references does not find."""

from __future__ import annotations

import gc


def collect_rarely() -> None:
    """Let a process look for garbage rarely; call it before the libraries are imported.

    Most of what a process holds is what it has imported, and no garbage: with Python's own
    limits a fifth of the CPU of each start went into looking through it.
    """
    gc.set_threshold(50_000, 20, 50)
