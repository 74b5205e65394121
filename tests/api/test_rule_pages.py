"""The page of a rule: its figures, and editing it."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
from support.api import TestedApi
from support.dashboard import act, said, signed_in

from afx.operations import rules
from models.base import transaction
from models.storage import rule_analytics
from models.storage.rule_counts import RuleCount


@pytest.fixture(scope="module")
def browser(api: TestedApi) -> dict[str, str]:
    return signed_in(api, api.token("*"))


def form(api: TestedApi, browser: dict[str, str], rule: int) -> dict[str, str]:
    """Return the fields of the form by which a rule is edited, as a browser has them."""
    params = {"target": str(rule)}
    page = api.get("/actions/rule.set", params=params, headers=browser, token="").text
    assert f"afx rule set {rule} --from @news --to @mine" in unescape(page)
    areas = re.findall(r'<textarea [^>]*name="(\w+)"[^>]*>\n(.*?)</textarea>', page, re.S)
    seen = re.search(r'name="seen" value="(\w+)"', page)
    assert seen
    fields = {name: unescape(value) for name, value in areas}
    return {"target": str(rule), "mode": "copy", "seen": seen[1], **fields}


def test_a_rule_is_edited_by_a_form_that_has_what_it_is(
    api: TestedApi, browser: dict[str, str]
) -> None:
    rules.modify(api.context, "1", filter={"contains": ["ä & <b>"]})
    fields = form(api, browser, 1)
    assert fields["sources"] == "@news" and fields["filter"] == "contains:\n- ä & <b>\n"
    assert "is as it was" in said(api, browser, act(api, browser, "rule.set", **fields))
    fields |= {"sources": "@news\r\n@more", "filter": "words: [x]", "transform": "- footer: y"}
    assert "was changed" in said(api, browser, act(api, browser, "rule.set", **fields))
    found = rules.show(api.context, "1")
    assert (found.sources, found.filter) == (["@news", "@more"], {"words": ["x"]})
    assert found.transform == [{"footer": "y"}]
    # Of two who edit it at once, the second one is told.
    assert "was changed since" in said(api, browser, act(api, browser, "rule.set", **fields))
    rules.modify(api.context, "1", sources=["@news"], filter={}, transform=[])


@pytest.mark.parametrize(
    ("field", "value"), [("filter", "media: film"), ("filter", "a: ["), ("sources", "no chat")]
)
def test_a_mistake_in_the_form_changes_nothing(
    api: TestedApi, browser: dict[str, str], field: str, value: str
) -> None:
    before = rules.show(api.context, "1")
    fields = form(api, browser, 1) | {field: value}
    assert said(api, browser, act(api, browser, "rule.set", **fields)).startswith("crit")
    assert rules.show(api.context, "1") == before


def test_what_became_of_its_messages_is_on_the_page_of_a_rule(
    api: TestedApi, browser: dict[str, str]
) -> None:
    page = api.get("/rules/1", headers=browser, token="").text
    assert '<dd id="forwarded">0</dd>' in page and "uplot" not in page
    with transaction():
        rule_analytics.note([RuleCount(1, 1234, 56, 0, 1, 2500, {4: 1234})])
    page = api.get("/rules/1?span=30d", headers=browser, token="").text
    assert '<dd id="forwarded">1,234</dd>' in page and "1, 2.5 s in all" in page
    assert "12 ms for half of them, 16 ms for 99 %" in page
    assert "by the day" in page and "uplot" in page
    page = api.get("/analytics", headers=browser, token="").text
    assert "Rules that forwarded most" in page and "1,234" in page


def test_a_rule_is_tried_on_a_message_as_json(api: TestedApi, browser: dict[str, str]) -> None:
    rules.modify(api.context, "2", filter={"media": ["photo"]})

    def tried(**fields: str) -> str:
        return unescape(api.post("/rules/2", data=fields, headers=browser, token="").text)

    photo = json.dumps({"id": 7, "text": "see <b>", "media": "photo"})
    page = tried(text="unused", message=photo)
    assert "It is forwarded" in page and photo in page and "<details" in page
    assert "It is not forwarded" in tried(message=json.dumps({"id": 7, "text": "x"}))
    assert "It is not forwarded" in tried(text="a text alone")
    for wrong in ("{", "[]", "7", "[" * 9_000):
        page = tried(message=wrong)
        assert "This is no message." in page and page.count("<h1") == 1, wrong
        assert wrong in page  # it is there to be corrected
    answer = api.post("/rules/2", data={"message": "x" * 10_001}, headers=browser, token="")
    assert answer.status_code == 422
    rules.modify(api.context, "2", filter={})
