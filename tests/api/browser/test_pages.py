"""The dashboard in a real browser, before a real cluster on the sandbox."""

from __future__ import annotations

import re
import time
from typing import Any

from support.dead_letters import add_dead_letters
from support.held_messages import add_held_messages
from support.pages import (
    HELD,
    SESSIONS,
    VIEWS,
    WIDER,
    Dashboard,
    act,
    expect,
    serious,
)

from afx.operations import (
    audit_log,
    reviews,
    rules,
    session_bulk,
    sessions,
    users,
    webhooks,
)
from afx.operations.sessions import SessionFilter
from models.storage.sessions import NewSession, set_requires
from models.storage.sessions import create_many as create_sessions
from models.storage.sessions import find as find_session
from models.storage.users import find as find_user


def test_no_view_is_wider_than_the_window_or_shuts_anybody_out(dashboard: Dashboard) -> None:
    """One visit to each view: a phone's window, wider ones, then axe in both themes."""
    page = dashboard.page(width=375)
    for path in VIEWS:
        page.set_viewport_size({"width": 375, "height": 800})
        page.goto(path)
        expect(page.locator("h1, h2").first).to_be_visible()
        for width in (375, 2560, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            wider = page.evaluate(WIDER)
            assert wider <= 0, f"{path} is {wider} px wider than {width} px"
        assert not serious(page, {}), path
        # The themes differ in their colours only.
        page.emulate_media(color_scheme="dark")
        assert not serious(page, {"runOnly": ["color-contrast"]}), f"{path}, dark"
        page.emulate_media(color_scheme="light")


def test_the_first_view_is_there_within_a_second(dashboard: Dashboard) -> None:
    page = dashboard.page()
    page.goto("/")
    timing = page.evaluate(
        "new Promise(done => new PerformanceObserver(it => done(it.getEntries()[0].startTime))"
        ".observe({type: 'paint', buffered: true}))"
    )
    sent = page.evaluate(
        "['navigation', 'resource'].flatMap(it => performance.getEntriesByType(it))"
        ".reduce((sum, it) => sum + it.transferSize, 0)"
    )
    assert sent < 60_000
    assert timing < 3_000  # on a machine that runs a cluster and other tests meanwhile


def test_a_session_is_found_by_keyboard_alone_and_paused(dashboard: Dashboard) -> None:
    name = dashboard.lab.sessions[0].name
    page = dashboard.page()
    page.goto("/")
    page.keyboard.press("Control+k")
    page.keyboard.type(name[:6])
    expect(page.locator("#found a").first).to_contain_text(name)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text(name)
    page.locator("a[data-action]", has_text="Pause").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#dialog")).to_be_visible()
    expect(page.locator("#f-reason")).to_be_focused()
    page.keyboard.type("holiday")
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("Requested: control")
    # The page changes by itself once the node has acknowledged.
    expect(page.locator("h1 .pill")).to_have_text("Paused")
    entry = audit_log.listing(dashboard.context, target=f"session/{name}").rows[0]
    assert (entry.actor, entry.details["reason"]) == ("token:first", "holiday")


def test_a_node_is_drained_and_another_tab_sees_it(dashboard: Dashboard) -> None:
    page, other = dashboard.page(), None
    other = page.context.new_page()
    dashboard.listen(other)
    page.goto("/nodes/w2")
    other.goto("/")
    page.locator("a[data-action]", has_text="Drain").click()
    began = time.monotonic()
    page.locator("#dialog [type=submit]").click()
    expect(page.locator("#said")).to_contain_text("Requested")
    expect(page.locator("h1 .pill")).to_have_text(re.compile("Draining|Cordoned"))
    assert time.monotonic() - began < 10
    expect(other.locator("#fleet-w2")).to_contain_text(re.compile("draining|cordoned"))
    page.goto("/controls")
    expect(page.locator("td", has_text="Done").first).to_be_visible()
    page.goto("/nodes/w2")
    act(page, "Uncordon")
    expect(page.locator("h1 .pill")).to_have_text("Ready")


def test_the_progress_line_shows_what_takes_long_and_nothing_else(dashboard: Dashboard) -> None:
    page = dashboard.page()
    page.goto("/users")
    line = page.locator(".progress-line")
    expect(line).to_have_css("opacity", "0")
    held: list[Any] = []
    page.route("**/actions/user.add*", lambda it: held.append(it))
    at_once = "window.shown ??= getComputedStyle(it).opacity"
    line.evaluate(f"it => new MutationObserver(() => {at_once}).observe(it, {{attributes: true}})")
    page.get_by_role("link", name="Add a user").click()
    expect(line).to_have_css("opacity", "1")
    assert page.evaluate("shown") == "0", "not at once"
    held.pop().continue_()
    expect(page.locator("#dialog")).to_be_visible()
    expect(line).to_have_css("opacity", "0")


def test_many_sessions_are_chosen_and_paused(dashboard: Dashboard) -> None:
    page = dashboard.page()
    page.goto("/sessions")
    expect(page.locator("#bulk")).to_be_hidden()
    page.locator("#all").check()
    expect(page.locator("#bulk-count")).to_have_text(str(SESSIONS))
    page.locator("#bulk a", has_text="Resume").click()
    page.locator("#dialog [type=submit]").click()
    expect(page.locator("#said")).to_contain_text(f"{SESSIONS} sessions")
    dashboard.lab.wait_running()


def test_fifty_sessions_are_paused_by_filter(dashboard: Dashboard) -> None:
    users.add(dashboard.context, "bulk", "free")
    rows = [NewSession(f"bulk-{it}", "sealed", f"bulk-{it}") for it in range(50)]
    made = create_sessions(find_user("bulk"), rows)
    for it in made:
        # No node has the label: none of them is started.
        set_requires(find_session(str(it)), {"region": "nowhere"})
    page = dashboard.page()
    page.goto("/sessions?user=bulk")
    page.get_by_role("link", name="Pause all that match").click()
    expect(page.locator("#dialog")).to_contain_text("50 sessions match")
    expect(page.locator("[data-form=cli]")).to_contain_text("afx session bulk pause --user bulk")
    page.fill("#f-reason", "holiday")
    page.locator("#dialog [type=submit]").click()
    expect(page.locator("#said")).to_contain_text("50 of 50 sessions")
    chosen = SessionFilter(user="bulk", state="paused")
    dashboard.lab.wait(
        "fifty sessions are paused",
        lambda: session_bulk.preview(dashboard.context, chosen).matched == 50,
        60,
    )


def test_a_webhook_is_added_and_tried(dashboard: Dashboard) -> None:
    page = dashboard.page()
    page.goto("/webhooks")
    page.get_by_role("link", name="New webhook").click()
    page.fill("#f-name", "pager")
    page.fill("#f-url", "https://example.invalid/afx")
    page.fill("#f-kinds", "worker.lost")
    page.locator("#dialog [type=submit]").click()
    expect(page.locator("#secret")).to_contain_text("whsec_")
    page.get_by_role("link", name="pager", exact=True).click()
    act(page, "Test")
    expect(page.locator("#said")).to_contain_text("waits to be sent")
    expect(page.locator("h1")).to_contain_text("pager")
    webhooks.remove(dashboard.context, "pager")


def test_what_destroys_waits_for_the_typed_name(dashboard: Dashboard) -> None:
    page = dashboard.page()
    name = dashboard.lab.sessions[1].name
    page.goto(f"/sessions/{dashboard.lab.sessions[1].id}")
    page.locator("a[data-action]", has_text="Remove").click()
    submit = page.locator("#dialog [type=submit]")
    expect(submit).to_be_disabled()
    page.fill("#f-typed", name[:-1])
    expect(submit).to_be_disabled()
    page.locator("[data-show=curl]").click()
    expect(page.locator("[data-form=curl]")).to_contain_text("curl -X DELETE")
    page.fill("#f-typed", name)
    expect(submit).to_be_enabled()
    page.keyboard.press("Escape")
    expect(page.locator("#dialog")).to_be_hidden()
    assert sessions.show(dashboard.context, name)


def test_a_rule_is_disabled_a_token_made_and_the_chain_verified(dashboard: Dashboard) -> None:
    page = dashboard.page()
    page.goto("/rules/1")
    act(page, "Disable")
    expect(page.locator("h1 .pill")).to_have_text("Disabled")
    page.goto("/tokens")
    page.locator("a[data-action]", has_text="New token").click()
    page.fill("#f-name", "made here")
    page.locator("#dialog [type=submit]").click()
    expect(page.locator("#secret")).to_contain_text("afx_")
    page.reload()
    expect(page.locator("#secret")).to_have_count(0)
    page.goto("/audit")
    page.get_by_text("Verify now").click()
    expect(page.locator("#verified")).to_contain_text("Chain verified")


def test_a_task_is_tried_again_and_a_schedule_paused(dashboard: Dashboard) -> None:
    page = dashboard.page()
    page.goto("/tasks/1")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Failed", timeout=30_000)
    page.get_by_role("link", name="Retry").click()
    page.get_by_label("Reason, for the audit log").fill("ticket 7")
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("#said")).to_contain_text("queued again")
    page.goto("/schedules")
    page.get_by_role("link", name="Pause").click()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#said")).to_contain_text("is paused")
    page.goto("/queues")
    expect(page.get_by_role("link", name="Purge").first).to_be_visible()


def test_the_view_of_rq_shows_the_queues_and_offers_no_change(dashboard: Dashboard) -> None:
    page = dashboard.page()
    page.goto("/queues")
    page.get_by_role("link", name="RQ's own view").click()
    expect(page.get_by_role("cell", name=re.compile("^node-w1-")).first).to_be_visible()
    page.goto("/rq/0/view/workers")
    expect(page.get_by_role("cell", name=re.compile("w1")).first).to_be_visible()
    page.goto("/rq/0/view/jobs/overflow/queued/8/asc/1")
    expect(page.locator("#requeue-all-btn")).to_be_hidden()
    expect(page.locator("#compact-btn")).to_be_hidden()


def test_a_rule_is_tried_on_a_text_and_edited(dashboard: Dashboard) -> None:
    page = dashboard.page(width=375)
    page.goto("/rules/1")
    page.fill("#f-text", "hello https://example.org/" + "long" * 50)
    page.get_by_role("button", name="Try").click()
    expect(page.locator("#tried")).to_contain_text("It is forwarded")
    assert page.evaluate(WIDER) <= 0
    page.locator("a[data-action]", has_text="Edit").click()
    expect(page.locator("#f-sources")).not_to_have_value("")
    page.fill("#f-filter", "contains: [good]")
    page.locator("#dialog [type=submit]").click()
    expect(page.locator("#said")).to_contain_text("was changed")
    page.fill("#f-text", "bad")
    page.get_by_role("button", name="Try").click()
    expect(page.locator("#tried")).to_contain_text("It is not forwarded")
    rules.modify(dashboard.context, "1", filter={})


def test_dead_letters_are_dropped_once_that_is_typed(dashboard: Dashboard) -> None:
    page = dashboard.page()
    page.goto("/dead-letters")
    expect(page.locator(".lead")).to_contain_text("could not be delivered")
    row = page.get_by_role("row", name=re.compile("message gone")).first
    row.locator("a[data-action]", has_text="Drop").click()
    expect(page.locator("#dialog")).to_contain_text("could not be delivered")
    page.fill("#f-typed", "1:message_gone")
    page.locator("#dialog [type=submit]").click()
    expect(page.locator("#said")).to_contain_text("were dropped")
    add_dead_letters(1)


def test_held_messages_are_approved_and_rejected_on_a_phone(dashboard: Dashboard) -> None:
    vault = dashboard.context.servers.vault()
    approved, rejected = add_held_messages(vault, 2, f"approved {HELD}", f"rejected {HELD}")
    page = dashboard.page(width=375)
    decisions = ((approved, "Approve", "are sent"), (rejected, "Reject", "were rejected"))
    for number, button, said in decisions:
        page.goto("/reviews?rule=2")
        page.locator(f"#held-{number} a[data-action]", has_text=button).click()
        expect(page.locator("#dialog")).to_contain_text("<img src=x")
        assert page.evaluate(WIDER) <= 0, button
        page.locator("#dialog [type=submit]").click()
        expect(page.locator("#said")).to_contain_text(said)
        assert page.evaluate(WIDER) <= 0, button
    assert reviews.show(dashboard.context, rejected).state == "rejected"


def test_charts_are_drawn(dashboard: Dashboard) -> None:
    page = dashboard.page()
    until = time.monotonic() + 15
    page.goto("/analytics")
    while not page.locator("#charts").count():
        assert time.monotonic() < until
        page.wait_for_timeout(500)
        page.reload()
    expect(page.locator("#charts canvas")).to_have_count(4)


def test_the_theme_that_is_chosen_stays(dashboard: Dashboard) -> None:
    page = dashboard.page()
    page.goto("/nodes")
    page.locator("[popovertarget=account]").click()
    page.get_by_role("button", name="Dark").click()
    page.goto("/users")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_signing_out_ends_it(dashboard: Dashboard) -> None:
    context = dashboard.browser.new_context(base_url=dashboard.address)
    page = context.new_page()
    page.goto("/sign-in")
    page.fill("#token", dashboard.token)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Overview")
    page.locator("[popovertarget=account]").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#token")).to_be_visible()
    page.goto("/sessions")
    expect(page.locator("#token")).to_be_visible()
    context.close()
