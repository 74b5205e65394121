"""Lists that are live: what is new is counted, and shown when that is asked for."""

from __future__ import annotations

import re

import pytest
from support.api import TestedApi
from support.dashboard import signed_in

from afx.api.dashboard import control_views, task_views
from afx.operations import controls, sessions, task_requests
from afx.operations.task_requests import TaskRequest

PROBE = TaskRequest(kind="task.probe")


@pytest.fixture(scope="module")
def browser(api: TestedApi) -> dict[str, str]:
    for _ in range(3):
        task_requests.submit(api.context, PROBE)
        request_control(api)
    return signed_in(api, api.token("*"))


def request_control(api: TestedApi) -> None:
    row = sessions.show(api.context, "a-1").session
    kind = "resume" if row.desired_state == "paused" else "pause"
    for it in controls.listing(api.context, only_open=True).rows:
        if it.kind == kind:
            controls.cancel(api.context, it.id)
    change = sessions.resume if kind == "resume" else sessions.pause
    assert change(api.context, "a-1").control


def page(api: TestedApi, browser: dict[str, str], path: str, **headers: str) -> str:
    answer = api.get(path, headers=browser | headers, token="")
    assert answer.status_code == 200, answer.text
    return answer.text


def rows(text: str) -> list[int]:
    table = text.partition("<tbody>")[2]
    return [int(it) for it in re.findall(r'class="name" href="/\w+/(\d+)"', table)]


def fresh(text: str) -> str:
    found = re.search(r'id="fresh"[^>]*>.*?</svg><span>(.*?)</span></a>', text)
    assert found
    return "" if "data-none" in found[0] else found[1]


@pytest.mark.parametrize("path", ["/tasks", "/controls"])
def test_a_refresh_has_the_rows_that_are_shown_and_counts_the_others(
    api: TestedApi, browser: dict[str, str], path: str
) -> None:
    opened = page(api, browser, path)
    first = rows(opened)
    newest = str(first[0])
    assert f'data-newest="{newest}"' in opened and fresh(opened) == ""
    for count in (1, 2):
        task_requests.submit(api.context, PROBE)
        request_control(api)
        again = page(api, browser, path, **{"afx-seen": newest})
        assert rows(again) == first and f'data-newest="{newest}"' in again
        assert fresh(again) == f"{count} new row{'s' if count > 1 else ''}"
    assert rows(page(api, browser, path))[:3] == [first[0] + 2, first[0] + 1, first[0]]


def test_what_is_under_way_stays_where_it_is_until_the_list_is_opened_anew(
    api: TestedApi, browser: dict[str, str]
) -> None:
    opened = page(api, browser, "/controls")
    [shown] = re.findall(r'data-shown="([\d,]+)"', opened)
    first = int(shown.split(",")[0])
    controls.cancel(api.context, first)
    request_control(api)
    again = page(api, browser, "/controls", **{"afx-seen": str(first), "afx-shown": shown})
    assert f'data-shown="{shown}"' in again
    assert f'id="control-{first}" data-tone="idle"' in again
    later = page(api, browser, "/controls")
    assert f'id="control-{first}"' not in later


@pytest.mark.parametrize("view", [task_views, control_views])
def test_more_new_rows_than_a_page_has_are_counted_so(
    api: TestedApi, browser: dict[str, str], monkeypatch: pytest.MonkeyPatch, view: object
) -> None:
    monkeypatch.setattr(view, "MOST_ROWS", 2)
    path = "/tasks" if view is task_views else "/controls"
    again = page(api, browser, path, **{"afx-seen": "1"})
    assert rows(again) == [1] and fresh(again) == "2+ new rows"
    # A later page has nothing above it that could push it down.
    [more] = re.findall(r'href="([^"]*cursor=[^"]*)" rel="next"', page(api, browser, path))
    later = page(api, browser, more.replace("&amp;", "&"))
    assert "data-newest" not in later and fresh(later) == ""


@pytest.mark.parametrize("value", ["x", "-1", "٣", "9" * 30, ",,,", "1" * 5_000])
def test_what_is_no_row_is_ignored(api: TestedApi, browser: dict[str, str], value: str) -> None:
    pairs = [*browser.items(), ("afx-seen", value), ("afx-shown", value)]
    headers = [(name.encode(), it.encode()) for name, it in pairs]
    found = api.run(api._client.get("/controls", headers=headers))
    assert found.status_code == 200 and fresh(found.text) == ""
