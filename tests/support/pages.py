"""The dashboard as a test's browser sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from afx.cluster import events
from afx.lab.cluster import LabCluster
from afx.operations.context import Context

SESSIONS = 6
HELD = "<img src=x onerror=alert(1)> " + "unbroken" * 20
"""The text of a held message."""
WAIT = 60_000
"""Milliseconds that a page has for what it is to show: machines may be loaded."""
WIDER = "document.documentElement.scrollWidth - innerWidth"
VIEWS = (
    "/",
    "/nodes",
    "/nodes/w1",
    "/rebalance",
    "/sessions",
    "/sessions/1",
    "/sessions/1/placement",
    "/sessions/1/budgets",
    "/proxies",
    "/users",
    "/users/1",
    "/rules",
    "/rules/1",
    "/overflow",
    "/controls",
    "/analytics",
    "/audit?verify=true",
    "/tokens",
    "/scaling",
    "/analytics/cluster",
    "/rule-schema",
    "/tasks",
    "/tasks/1",
    "/queues",
    "/schedules",
    "/webhooks",
    "/webhooks/1",
    "/dead-letters",
    "/dead-letters?reason=rule_changed",
    "/reviews",
    "/reviews?state=rejected",
    "/actions/dead.drop?target=1:message_gone",
    "/actions/session.remove?target=1",
    "/actions/rule.apply",
    "/actions/schedule.add",
)


@dataclass(slots=True)
class Dashboard:
    """A cluster with an API, and a browser that is signed in."""

    lab: LabCluster
    browser: Any
    address: str
    token: str
    context: Context
    state: Any
    complaints: list[str] = field(default_factory=list)
    opened: list[Any] = field(default_factory=list)
    """Contexts of pages, to be closed after the test."""

    def page(self, *, width: int = 1280, theme: str = "light") -> Any:
        """Return a page of its own context; what the console says is kept."""
        context = self.browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=theme,
            storage_state=self.state,
            base_url=self.address,
        )
        self.opened.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT)
        self.listen(page)
        return page

    def listen(self, page: Any) -> None:
        page.on(
            "console",
            lambda it: (
                self.complaints.append(f"{page.url}: {it.text}")
                if it.type in ("error", "warning")
                else None
            ),
        )
        page.on("pageerror", lambda it: self.complaints.append(f"{page.url}: {it}"))
        page.on(
            "request",
            lambda it: (
                None
                if it.url.startswith((self.address, "data:"))
                else self.complaints.append(f"{page.url} asks {it.url}")
            ),
        )


def expect(it: Any) -> Any:
    from playwright.sync_api import expect

    expect.set_options(timeout=WAIT)
    return expect(it)


def act(page: Any, label: str) -> None:
    """Choose an action of a page, and confirm its dialog."""
    page.locator("a[data-action]", has_text=label).click()
    page.locator("#dialog [type=submit]").click()


def follow(page: Any, path: str) -> None:
    """Open a page, and wait until it is live."""
    page.goto(path)
    expect(page.locator("#live")).to_have_attribute("data-state", "live")


def serious(page: Any, options: dict[str, Any]) -> list[Any]:
    """Return what axe finds that is serious, once the colours of the theme are there."""
    from axe_playwright_python.base import AXE_SCRIPT

    page.evaluate(
        "new Promise(requestAnimationFrame)"
        ".then(() => Promise.allSettled(document.getAnimations()"
        ".filter(it => it instanceof CSSTransition).map(it => it.finished)))"
        ".then(() => true)"
    )
    if not page.evaluate("Boolean(window.axe)"):  # half a megabyte: once for a document
        page.evaluate(AXE_SCRIPT)
    found = page.evaluate(_AXE, {"resultTypes": ["violations"], **options})
    return [(it["id"], it["nodes"]) for it in found]


_AXE = """
options => axe.run(options).then(({violations}) => violations
  .filter(it => ["serious", "critical"].includes(it.impact))
  .map(it => ({id: it.id, nodes: it.nodes.slice(0, 3).map(node => node.html.slice(0, 150))})))
"""


SHIFTS = """
window.shifts ??= [];
new PerformanceObserver(list => {
  for (const it of list.getEntries())
    window.shifts.push([it.value, ...it.sources.map(source => {
      const node = source.node?.parentElement && source.node;
      return (node?.outerHTML || node?.textContent || "").slice(0, 120);
    })]);
}).observe({type: "layout-shift"});
"""


WORDS = """
[...document.querySelectorAll("#main")].map(it => it.textContent.replace(/[0-9.,:+-]+/g, ""))[0]
"""
"""What a page says, without its figures."""


_VISIBLE_SHIFT = 0.001


def refreshed(dashboard: Dashboard, page: Any) -> list[Any]:
    """Let a page be refreshed; returns what has moved."""
    with page.expect_response(lambda it: it.url == page.url):
        events.announce(dashboard.lab.redis, "controls", changed=1)
    page.evaluate("new Promise(it => requestAnimationFrame(() => setTimeout(it, 20)))")
    # A fraction of a pixel is no movement: widths of texts are rounded.
    return [it for it in page.evaluate("window.shifts.splice(0)") if it[0] > _VISIBLE_SHIFT]
