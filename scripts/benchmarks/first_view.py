"""The first view of the dashboard: what a browser without a cache fetches, and when it paints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chromium import browser
from common import Target, percentile

NAME = "first view"
VIEWS = {"overview": "/", "sessions": "/sessions", "sign-in": "/sign-in"}
_MOST_BYTES = 150_000
_MOST_MS = 1_000
_RUNS = 10
_LONGEST_MS = 30_000
_PAINTS = """
new Promise(done => {
  const found = {};
  const note = (name, at) => {
    found[name] = at;
    if (found.first && found.largest) setTimeout(() => done(found), 300);
  };
  new PerformanceObserver(it => note("largest", it.getEntries().at(-1).startTime))
    .observe({type: "largest-contentful-paint", buffered: true});
  new PerformanceObserver(it => {
    const entry = it.getEntriesByName("first-contentful-paint")[0];
    if (entry) note("first", entry.startTime);
  }).observe({type: "paint", buffered: true});
})
"""
"""When the first and the largest content was painted, in ms since the start of the navigation."""
_WORKER = """
(async () => {
  const address = document.querySelector("#live")?.dataset.events;
  if (address) await (await fetch(address, {cache: "reload"})).text();
})()
"""
"""The tools of a page do not see what its SharedWorker fetches: its script is fetched again."""


@dataclass(slots=True)
class Seen:
    """What one visit to a page took."""

    first_ms: float = 0.0
    largest_ms: float = 0.0
    sent: float = 0.0
    """Bytes on the wire, with headers."""
    requests: int = 0
    others: list[str] = field(default_factory=list)
    """Addresses of other servers that were asked."""
    complaints: list[str] = field(default_factory=list)
    """What the console said is wrong."""


def measure(
    port: int, token: str, runs: int = _RUNS
) -> tuple[list[dict[str, Any]], Sequence[Target]]:
    """Visit each view several times, each time with a browser context that has no cache."""
    rows: list[dict[str, Any]] = []
    targets: list[Target] = []
    address = f"http://127.0.0.1:{port}"
    with browser() as started:
        state = _signed_in(started, address, token)
        for name, path in VIEWS.items():
            known = None if path == "/sign-in" else state
            _visit(started, address, path, known)  # the server's templates are compiled once
            seen = [_visit(started, address, path, known) for _ in range(runs)]
            rows.append(_row(f"{NAME}: {name}", seen))
            targets += _targets(f"{NAME}: {name}", seen)
    return rows, targets


def _signed_in(started: Any, address: str, token: str) -> Any:
    context = started.new_context(base_url=address)
    page = context.new_page()
    page.set_default_timeout(_LONGEST_MS)
    page.goto("/sign-in")
    page.fill("#token", token)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}/")
    state = context.storage_state()
    context.close()
    return state


def _visit(started: Any, address: str, path: str, state: Any) -> Seen:
    seen = Seen()
    context = started.new_context(base_url=address, storage_state=state)
    page = context.new_page()
    page.set_default_timeout(_LONGEST_MS)
    tools = context.new_cdp_session(page)
    tools.send("Network.enable")
    tools.send("Network.clearBrowserCache")

    def finished(it: dict[str, Any]) -> None:
        seen.sent += it["encodedDataLength"]
        seen.requests += 1

    def asked(it: Any) -> None:
        if not it.url.startswith((f"{address}/", "data:")):
            seen.others.append(it.url)

    def said(it: Any) -> None:
        if it.type in ("error", "warning"):
            seen.complaints.append(it.text)

    tools.on("Network.loadingFinished", finished)
    page.on("request", asked)
    page.on("console", said)
    page.on("pageerror", lambda it: seen.complaints.append(str(it)))
    page.goto(path)
    paints = page.evaluate(_PAINTS)
    page.evaluate(_WORKER)
    seen.first_ms, seen.largest_ms = paints["first"], paints["largest"]
    context.close()
    return seen


def _row(what: str, seen: Sequence[Seen]) -> dict[str, Any]:
    first, largest = [it.first_ms for it in seen], [it.largest_ms for it in seen]
    return {
        "what": what,
        "runs": len(seen),
        "requests": max(it.requests for it in seen),
        "bytes": round(max(it.sent for it in seen)),
        "first_paint_p50_ms": percentile(first, 0.5),
        "first_paint_max_ms": max(first),
        "largest_paint_p50_ms": percentile(largest, 0.5),
        "largest_paint_max_ms": max(largest),
    }


def _targets(name: str, seen: Sequence[Seen]) -> list[Target]:
    largest = max(max(it.largest_ms, it.first_ms) for it in seen)
    sent = max(it.sent for it in seen)
    others, complaints = sum(len(it.others) for it in seen), sum(len(it.complaints) for it in seen)
    return [
        Target(f"{name}: bytes transferred", sent, _MOST_BYTES, "at most"),
        Target(
            f"{name}: largest content painted, the slowest run, ms", largest, _MOST_MS, "at most"
        ),
        Target(f"{name}: errors in the console", complaints, 0, "at most"),
        Target(f"{name}: requests to others", others, 0, "at most"),
    ]
