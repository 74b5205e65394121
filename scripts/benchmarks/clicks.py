"""The dashboard: from a click to the acknowledgement of its control on another window's screen."""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from pathlib import Path
from typing import Any

from chromium import browser
from common import Target, percentile, report

from afx.lab.cluster import LabCluster, temporary_settings
from afx.operations import controls as control_operations
from afx.operations.context import Actor, Context
from afx.servers import ProcessServers

NAME = "clicks"
_PAUSE_SECONDS = 3.0
"""A person does not click at once again."""
_SECONDS = 30_000
"""Milliseconds that a page may take."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clicks", type=int, default=20, help="pauses and resumes of a session")


def run(flags: argparse.Namespace) -> None:
    """Pause and resume a session in one window; another shows the controls."""
    with (
        tempfile.TemporaryDirectory(prefix="afx-bench-") as home,
        LabCluster(temporary_settings(Path(home))) as lab,
        browser() as started,
    ):
        lab.processes.start_coordinator()
        lab.processes.start_nodes(2)
        lab.processes.start_api(0)
        lab.wait_nodes(2)
        lab.add_sessions(20)
        lab.wait_running()
        address = _said(lab, r"dashboard is at (http://\S+)/")
        token = _said(lab, r"shown once\): (\S+)")
        context = started.new_context(base_url=address)
        context.set_default_timeout(_SECONDS)
        page = context.new_page()
        page.goto("/sessions/1")
        page.fill("#token", token)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{address}/sessions/1")
        # A window of its own: a tab behind another one is hidden, and not refreshed.
        other = started.new_context(base_url=address, storage_state=context.storage_state())
        other.set_default_timeout(_SECONDS)
        controls = other.new_page()
        # With a row already: those that come later wait for a click.
        for action in ("Pause", "Resume"):
            _ask(page, action)
        controls.goto("/controls")
        took = [_click(page, controls, ("Pause", "Resume")[it % 2]) for it in range(flags.clicks)]
        row = _steps(lab)
    took = [it * 1000 for it in took]
    p50 = percentile(took, 0.5)
    row |= {"clicks": len(took), "p50_ms": p50, "p99_ms": percentile(took, 0.99)}
    row |= {
        f"{name}_p50_ms": percentile(took[first::2], 0.5)
        for first, name in enumerate(("pause", "resume"))
    }
    targets = [Target("click to acknowledged on the screen, p50 ms", p50, 300, "at most")]
    report(NAME, [row], targets, as_json=flags.json)


def _ask(page: Any, action: str) -> tuple[str, float]:
    """Click; return the control's number, and when the dialog was submitted (monotonic)."""
    time.sleep(_PAUSE_SECONDS)
    page.goto("/sessions/1")
    page.locator("a[data-action]", has_text=action).first.click()
    submit = page.locator("#dialog [type=submit]")
    submit.wait_for()
    began = time.monotonic()
    submit.click()
    page.locator("#said", has_text="Requested").wait_for()
    [number] = re.findall(r"control (\d+)", page.locator("#said").inner_text())
    return number, began


def _click(page: Any, controls: Any, action: str) -> float:
    """Click, and return after how many seconds the other window shows that it is acknowledged.

    That window's click on "new rows" is a part of it: rows that come push none away.
    """
    number, began = _ask(page, action)
    controls.locator("#fresh").click()
    row = controls.locator("tr", has=controls.locator(f'a[href="/controls/{number}"]'))
    row.filter(has_text=re.compile("acknowledged|done", re.IGNORECASE)).first.wait_for()
    return time.monotonic() - began


def _steps(lab: LabCluster) -> dict[str, Any]:
    """Return how long the leader took for controls, as it has stored it: to send, to end."""
    context = Context(Actor("bench"), ProcessServers(lab.settings))
    found = control_operations.listing(context, limit=1_000).rows
    names = {"sent": "sent_at", "done": "finished_at"}
    return {
        f"request_to_{name}_p50_ms": percentile(
            [
                (at - it.created_at).total_seconds() * 1000
                for it in found
                if (at := getattr(it, column)) is not None
            ],
            0.5,
        )
        for name, column in names.items()
    }


def _said(lab: LabCluster, pattern: str) -> str:
    lab.wait("the API says it", lambda: bool(re.search(pattern, lab.log.read_text())), 30)
    return str(re.findall(pattern, lab.log.read_text())[0])
