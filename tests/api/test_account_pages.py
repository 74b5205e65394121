"""The health of accounts in the dashboard."""

from __future__ import annotations

from datetime import UTC, datetime
from html import unescape

from support.api import TestedApi
from support.dashboard import signed_in

from afx.coordinator.decisions.account_health import ADVICE, Health
from afx.operations import sessions
from models.storage import account_health
from models.storage.account_health import HealthRow


def test_the_health_of_an_account_is_shown_with_what_to_do(api: TestedApi) -> None:
    browser = signed_in(api, api.token("*"))
    session = sessions.show(api.context, "a-1").session

    def show(path: str, health: Health) -> str:
        now = datetime.now(UTC)
        account_health.note([HealthRow(session.id, str(health), now, now, "<PEER_FLOOD>")])
        return api.get(path, headers=browser, token="").text

    try:
        for it in Health:
            page = show("/sessions/a-1", it)
            assert f'data-health="{it}"' in page
            assert ('id="health"' in page) is (it is not Health.HEALTHY)
            # The advice, for this session, and what Telegram said, as text.
            advice = unescape(ADVICE[it].replace("NAME", session.name))
            assert advice in unescape(page)
            assert "<PEER_FLOOD>" not in page
            listed = show(f"/sessions?health={it}", it)
            assert f'href="/sessions/{session.id}"' in listed
            assert ("data-health" in listed) is (it is not Health.HEALTHY)
        assert "There is no health" in show("/sessions?health=tired", Health.HEALTHY)
    finally:
        show("/", Health.HEALTHY)
