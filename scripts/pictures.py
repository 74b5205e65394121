"""Takes the pictures of the dashboard: a lab with sessions and traffic, and a real browser."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.browser import FLAGS, NAMES, REASON  # noqa: E402

from afx.lab.cluster import LabCluster, temporary_settings  # noqa: E402

PICTURES = (
    ("overview", "/", "light", 1280),
    ("overview-dark", "/", "dark", 1280),
    ("sessions-small", "/sessions", "light", 375),
)
_LONGEST_SECONDS = 120


def main() -> None:
    path = next((found for it in NAMES if (found := shutil.which(it))), None)
    if path is None:
        sys.exit(f"afx: {REASON}")
    place = ROOT / "docs/pictures"
    place.mkdir(exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="afx-p-"))
    try:
        with LabCluster(temporary_settings(home)) as lab:
            take(lab, path, place)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def take(lab: LabCluster, path: str, place: Path) -> None:
    from playwright.sync_api import sync_playwright

    for _ in range(2):
        lab.processes.start_coordinator()
    lab.processes.start_nodes(6)
    lab.processes.start_api(0)
    lab.wait_nodes(6)
    lab.add_sessions(60)
    lab.add_sessions(30, tier="premium")
    lab.wait_running()
    lab.post(100_000, 300)

    def said(pattern: str) -> str:
        lab.wait("the API runs", lambda: re.search(pattern, lab.log.read_text()) is not None, 30)
        return str(re.findall(pattern, lab.log.read_text())[0])

    address, token = said(r"dashboard is at (http://\S+)/"), said(r"shown once\): (\S+)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        for name, view, theme, width in PICTURES:
            page = browser.new_context(
                viewport={"width": width, "height": 800}, color_scheme=theme
            ).new_page()
            page.goto(f"{address}/sign-in")
            page.fill("#token", token)
            page.keyboard.press("Enter")
            page.wait_for_selector("#live[data-state=live]", state="attached")
            # Latencies are told every half a minute, and kept for ten seconds.
            until = time.monotonic() + _LONGEST_SECONDS
            while "p50 –" in page.content() and time.monotonic() < until:
                time.sleep(4)
                page.reload()
                page.wait_for_selector("#live[data-state=live]", state="attached")
            page.goto(f"{address}{view}")
            page.wait_for_selector("#live[data-state=live]", state="attached")
            page.screenshot(path=place / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
