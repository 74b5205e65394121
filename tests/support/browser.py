"""A headless Chromium for tests, if this machine has one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
REASON = (
    "no headless Chromium: install it (Debian: apt-get install --no-install-recommends "
    "chromium-headless-shell)"
)
FLAGS = (
    # It runs as root, in a small /dev/shm, and talks to this machine only.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser; skips the test when there is none."""
    path = next((found for it in NAMES if (found := shutil.which(it))), None)
    if path is None:
        # CI must not pass without these tests.
        (pytest.fail if os.environ.get("AFX_BROWSER") == "required" else pytest.skip)(REASON)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()
