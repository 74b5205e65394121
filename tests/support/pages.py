"""The dashboard as a test's browser sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from afx.lab.cluster import LabCluster
from afx.operations.context import Context

SESSIONS = 6


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

    def page(self, *, width: int = 1280, theme: str = "light") -> Any:
        """Return a page of its own context; what the console says is kept."""
        context = self.browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=theme,
            storage_state=self.state,
            base_url=self.address,
        )
        page = context.new_page()
        page.set_default_timeout(15_000)
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

    return expect(it)
