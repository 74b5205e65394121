"""What the doctor says about webhooks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from afx.operations.webhook_checks import check_webhooks
from models.base import utc_now
from models.storage import users, webhooks
from models.storage.webhooks import NewWebhook
from models.webhook_tables import Webhook


def add(name: str, owner: Any = None, **fields: Any) -> None:
    webhooks.add(NewWebhook(name, "https://example.org/", (), owner, "sealed"))
    Webhook.update(**fields).where(Webhook.name == name).execute()


def test_webhooks_that_fail_for_long_are_named_with_what_to_do(database: Any) -> None:
    add("fine", error="")
    add("new", error="the answer was 500", failing_since=utc_now() - timedelta(minutes=30))
    [found] = check_webhooks()
    assert (found.grade, found.what) == ("ok", "none has failed for long")
    add("old", error="the answer was 500", failing_since=utc_now() - timedelta(hours=2))
    add("gone", state="suspended", failing_since=utc_now() - timedelta(days=4))
    gone, old = check_webhooks()
    assert (gone.grade, old.grade) == ("warn", "warn")
    assert "'gone' is suspended" in gone.what and "afx webhook resume gone" in gone.remedy
    assert "'old' has failed since" in old.what and "the answer was 500" in old.what
    assert "afx webhook test old" in old.remedy


def test_of_many_webhooks_that_fail_the_first_are_named(database: Any) -> None:
    for number in range(8):
        since = utc_now() - timedelta(days=8 - number)
        add(f"w{number}", error="no answer", failing_since=since)
    *named, rest = check_webhooks()
    assert [it.what.partition(" ")[0] for it in named] == [f"'w{it}'" for it in range(5)]
    assert rest.what.startswith("3 more") and "afx webhook list" in rest.remedy


def test_webhooks_of_users_are_theirs_to_correct(database: Any) -> None:
    add("mine", users.create("alice"), state="suspended", failing_since=utc_now())
    [found] = check_webhooks()
    assert (found.grade, found.what) == ("ok", "none has failed for long, but 1 of users")
