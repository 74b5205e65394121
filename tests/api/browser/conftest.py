"""A cluster with an API on the sandbox, and a browser that is signed in."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.browser import chromium
from support.dead_letters import add_dead_letters
from support.held_messages import add_held_messages
from support.pages import HELD, SESSIONS, Dashboard

from afx.lab.cluster import LabCluster, temporary_settings
from afx.operations import schedules, task_requests, webhooks
from afx.operations.context import Actor, Context
from afx.operations.task_requests import TaskRequest
from afx.servers import ProcessServers


@pytest.fixture(scope="module")
def dashboard() -> Iterator[Dashboard]:
    home = Path(tempfile.mkdtemp(prefix="afx-t-"))
    # The browser first: without one, nothing else is started.
    with chromium() as browser, LabCluster(temporary_settings(home)) as lab:
        lab.processes.start_coordinator()
        lab.processes.start_nodes(2)
        lab.processes.start_api(0)
        lab.wait_nodes(2)
        lab.add_sessions(SESSIONS)
        lab.wait_running()

        def said(pattern: str) -> str:
            lab.wait(
                "the API says where it is",
                lambda: re.search(pattern, lab.log.read_text()) is not None,
                30,
            )
            return re.findall(pattern, lab.log.read_text())[0]

        address = said(r"dashboard is at (http://\S+)/")
        token = said(r"shown once\): (\S+)")
        page = browser.new_page()
        page.goto(f"{address}/sessions?state=running")
        page.fill("#token", token)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{address}/sessions?state=running")
        context = Context(Actor("test"), ProcessServers(lab.settings))
        fails = TaskRequest(kind="task.probe", arguments={"fails": True})
        task_requests.submit(context, fails)
        schedules.add(context, "nightly", "0 3 * * *", TaskRequest(kind="task.probe"))
        webhooks.add(context, "hook", "https://example.invalid/a-long-path/that-goes-on/and-on")
        webhooks.test(context, "hook")
        add_dead_letters(1)
        add_held_messages(context.servers.vault(), 1, HELD)
        yield Dashboard(lab, browser, address, token, context, page.context.storage_state())
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(autouse=True)
def _nothing_to_complain(dashboard: Dashboard) -> Iterator[None]:
    dashboard.complaints.clear()
    yield
    while dashboard.opened:
        dashboard.opened.pop().close()
    assert dashboard.complaints == []
