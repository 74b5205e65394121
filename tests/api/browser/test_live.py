"""Live pages in a real browser: what changes is shown, and nothing moves."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from support.held_messages import add_held_messages
from support.pages import (
    SHIFTS,
    WORDS,
    Dashboard,
    expect,
    follow,
    refreshed,
    serious,
)

from afx.operations import controls, reviews, sessions, task_requests, workers
from afx.operations.task_requests import TaskRequest
from models.storage import account_health
from models.storage.account_health import HealthRow


@pytest.mark.parametrize("width", [375, 1280])
def test_nothing_moves_when_figures_of_a_live_view_change(dashboard: Dashboard, width: int) -> None:
    """Nodes report new figures each half second; each announcement refreshes the page."""
    page = dashboard.page(width=width)
    for path in ("/", "/nodes", "/nodes/w1", "/sessions/3", "/queues", "/tasks", "/tasks/1"):
        follow(page, path)
        page.evaluate(SHIFTS)
        for _ in range(10):
            before = page.evaluate(WORDS)
            shifts = [it for _ in range(2) for it in refreshed(dashboard, page)]
            if not shifts and page.evaluate(WORDS) == before:
                break  # otherwise something may have happened that the page has to tell
        assert shifts == [], path


@pytest.mark.parametrize("width", [375, 1280])
def test_new_controls_and_tasks_wait_for_a_click_and_push_nothing_away(
    dashboard: Dashboard, width: int
) -> None:
    page = dashboard.page(width=width)
    probe = TaskRequest(kind="task.probe")

    def request() -> None:
        name = dashboard.lab.sessions[2].name
        dashboard.lab.wait(
            "no control is under way",
            lambda: not controls.listing(dashboard.context, only_open=True).rows,
            60,
        )
        runs = sessions.show(dashboard.context, name).session.desired_state == "running"
        change = sessions.pause if runs else sessions.resume
        assert change(dashboard.context, name).control

    makes = {"/controls": request, "/tasks": lambda: task_requests.submit(dashboard.context, probe)}
    for path, make in makes.items():
        make()  # there is a row before
        follow(page, path)
        expect(page.locator("#fresh")).to_be_hidden()
        page.evaluate(SHIFTS)
        row = page.locator("tbody tr").first
        before, place = row.locator(".name").inner_text(), row.bounding_box()["y"]
        make()
        refreshed(dashboard, page)
        expect(page.locator("#fresh")).to_be_visible(timeout=30_000)
        expect(page.locator("#fresh")).to_contain_text(re.compile("[0-9] new row"))
        assert (row.locator(".name").inner_text(), row.bounding_box()["y"]) == (before, place)
        page.locator("#fresh").click()
        expect(page.locator("tbody tr .name").first).not_to_have_text(before)
        expect(page.locator("#fresh")).to_be_hidden()
    sessions.resume(dashboard.context, dashboard.lab.sessions[2].name)


@pytest.mark.parametrize(("width", "rule"), [(375, 3), (1280, 4)])
def test_rows_that_leave_a_live_list_stay_marked_and_rows_that_come_wait(
    dashboard: Dashboard, width: int, rule: int
) -> None:
    """Whoever is about to click on a row must not hit another one."""
    vault = dashboard.context.servers.vault()
    [first] = add_held_messages(vault, rule, "leaves the list")
    page = dashboard.page(width=width)
    follow(page, f"/reviews?rule={rule}")
    page.evaluate(SHIFTS)
    row = page.locator(f"#held-{first}")
    place = row.bounding_box()
    reviews.reject(dashboard.context, str(rule), ids=[first])
    [second] = add_held_messages(vault, rule, "comes into the list", first=2)
    refreshed(dashboard, page)
    expect(row).to_have_attribute("data-left", "", timeout=60_000)
    expect(row).to_contain_text("has left this list")
    expect(row.locator("a[data-action]").first).to_be_hidden()
    expect(page.locator("#fresh")).to_have_text("1 new row", timeout=60_000)
    refreshed(dashboard, page)  # it stays so
    expect(row).to_have_attribute("data-left", "")
    assert row.bounding_box() == place
    assert row.inner_text().count("has left this list") == 1
    expect(page.locator(f"#held-{second}")).to_have_count(0)
    assert not serious(page, {})
    page.locator("#fresh").click()
    expect(page.locator(f"#held-{second}")).to_be_visible(timeout=60_000)
    expect(row).to_have_count(0)
    reviews.reject(dashboard.context, str(rule), ids=[second])


def test_a_node_that_leaves_a_filter_and_comes_back_keeps_its_place(dashboard: Dashboard) -> None:
    page = dashboard.page()
    follow(page, "/nodes?state=ready")
    names = page.locator("#kept-nodes tbody .name")
    before = names.all_inner_texts()
    workers.cordon(dashboard.context, ["w1"])
    expect(page.locator("#node-w1")).to_have_attribute("data-left", "", timeout=60_000)
    assert names.all_inner_texts() == before
    workers.uncordon(dashboard.context, ["w1"])
    expect(page.locator("#node-w1:not([data-left])")).to_have_count(1, timeout=60_000)
    assert names.all_inner_texts() == before


def test_notices_of_a_live_page_come_and_go_and_move_nothing(dashboard: Dashboard) -> None:
    """What comes floats until the page is opened again; what is over keeps its place."""
    session = dashboard.lab.sessions[4]
    page = dashboard.page(width=375)

    def becomes(health: str) -> list[Any]:
        now = datetime.now(UTC)
        account_health.note([HealthRow(session.id, health, now, now, "PEER_FLOOD")])
        return refreshed(dashboard, page)

    follow(page, f"/sessions/{session.id}")
    page.evaluate(SHIFTS)
    shifts = becomes("limited")
    toast = page.locator(".toast[data-told=health]")
    expect(toast).to_contain_text("Telegram said: PEER_FLOOD")
    expect(page.locator("#health")).to_have_count(0)
    assert not serious(page, {})
    toast.get_by_role("button").click()
    shifts += refreshed(dashboard, page)
    expect(toast).to_have_count(0)
    follow(page, f"/sessions/{session.id}")
    expect(page.locator("#health")).to_be_visible()
    page.evaluate(SHIFTS)
    shifts += becomes("healthy")
    expect(page.locator("#health")).to_have_attribute("data-tone", "idle")
    assert shifts == []


def test_eight_tabs_are_live_and_say_when_they_are_not(dashboard: Dashboard) -> None:
    """A browser opens six connections to a server at most: all tabs share one stream."""
    context = dashboard.page().context
    pages = [context.pages[0], *(context.new_page() for _ in range(7))]
    for page in pages:
        page.goto("/tokens")
    for page in pages:
        expect(page.locator("#live")).to_have_attribute("data-state", "live", timeout=15_000)
    page = pages[0]
    expect(page.locator("#stale")).to_be_hidden()
    # At once: the stream lives, and what it says next is news.
    said = page.evaluate(
        "heard({state: 'stale', detail: 'Redis is away.'}),"
        " ['#live', '#stale-text'].map(it => document.querySelector(it).innerText.trim())"
    )
    assert said == ["Stale", "Redis is away."]
    expect(page.locator("#stale")).to_be_visible()
    expect(page.locator("#live")).to_have_attribute("data-state", "live", timeout=15_000)
    context.close()
