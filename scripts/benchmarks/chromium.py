"""A headless Chromium for the benchmarks of the dashboard."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from afx.errors import AfxError

_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    # It runs as root, in a small /dev/shm, and talks to this machine only.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)


def program() -> str:
    """Return the path of a browser; raises AfxError where none is installed."""
    path = next((found for it in _NAMES if (found := shutil.which(it))), None)
    if path is None:
        raise AfxError("No headless Chromium is installed; see CONTRIBUTING.md.")
    return path


@contextmanager
def browser() -> Iterator[Any]:
    """Start a browser; raises AfxError where none is installed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program(), args=list(_FLAGS))
        yield started
        started.close()
