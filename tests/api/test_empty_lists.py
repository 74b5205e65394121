"""Lists of the dashboard whose filters match nothing, or name what is not there."""

from __future__ import annotations

import re
from html import unescape

import pytest
from support.api import TestedApi
from support.dashboard import signed_in

WRONG = {
    "/rules?session=nope": "There is no session 'nope'",
    "/rules?session=%00": "There is no session",
    f"/rules?session={'x' * 5000}": "There is no session",
    "/sessions?user=nope": "There is no user 'nope'",
    "/sessions?state=bogus": "There is no state 'bogus'",
    "/sessions?health=bogus&node=w1": "There is no health 'bogus'",
    "/tasks?session=nope": "There is no session 'nope'",
    "/tasks?state=bogus": "There is no such state",
    "/tasks?batch=-1": "A batch has a number",
    "/dead-letters?rule=nope": "There is no rule 'nope'",
    "/dead-letters?rule=nope/x&reason=message_gone": "There is no session 'nope'",
    "/reviews?rule=nope": "There is no rule 'nope'",
    "/users?tier=bogus": "There is no tier 'bogus'",
    "/sessions?cursor=bogus": "The cursor is not one of this list",
    "/controls?cursor=bogus": "The cursor is not one of this list",
}
EMPTY = (
    "/sessions?node=nope",
    "/sessions?label=a=b",
    "/tasks?kind=bogus",
    "/nodes?state=bogus",
    "/controls?worker=nope",
    "/proxies?pool=nope",
    "/audit?target=nope",
    "/dead-letters?reason=message_gone",
    "/reviews?state=rejected",
)


@pytest.fixture(scope="module")
def browser(api: TestedApi) -> dict[str, str]:
    return signed_in(api, api.token("*"))


@pytest.mark.parametrize(("path", "said"), WRONG.items(), ids=[it[:40] for it in WRONG])
def test_a_filter_that_names_nothing_leaves_an_empty_list_and_can_be_cleared(
    api: TestedApi, browser: dict[str, str], path: str, said: str
) -> None:
    answer = api.get(path, headers=browser, token="")
    assert answer.status_code == 200
    assert said in unescape(answer.text)
    assert answer.text.count("<h1") == 1 and 'role="alert"' not in answer.text
    [clear] = re.findall(r'<a class="btn" href="([^"]*)">[^<]*<svg.*?</svg>Clear the', answer.text)
    assert clear == path.partition("?")[0]
    assert api.get(clear, headers=browser, token="").status_code == 200


@pytest.mark.parametrize("path", EMPTY)
def test_a_filter_that_matches_nothing_can_be_cleared(
    api: TestedApi, browser: dict[str, str], path: str
) -> None:
    answer = api.get(path, headers=browser, token="")
    assert answer.status_code == 200 and "Clear the filters" in answer.text


def test_a_list_without_filters_offers_nothing_to_clear(
    api: TestedApi, browser: dict[str, str]
) -> None:
    paths = "/proxies", "/tasks", "/controls?said=x", "/dead-letters", "/reviews", "/overflow"
    for path in paths:
        assert "Clear the filters" not in api.get(path, headers=browser, token="").text, path


def test_a_page_that_is_not_there_is_a_page_for_a_browser_and_a_problem_for_others(
    api: TestedApi, browser: dict[str, str]
) -> None:
    page = api.get("/nope", headers={**browser, "accept": "text/html,*/*"}, token="")
    assert page.status_code == 404 and "There is no such page." in page.text
    assert page.headers["content-type"].startswith("text/html")
    other = api.get("/api/v1/nope", headers={"accept": "text/html"})
    assert other.headers["content-type"] == "application/problem+json"
