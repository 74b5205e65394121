"""The dashboard as a browser without scripts sees it."""

from __future__ import annotations

import re
import time
from html import unescape
from typing import Any

import httpx
from support.api import TestedApi

from afx.api import cookies
from afx.operations import tokens

SAME = {"sec-fetch-site": "same-origin"}


def signed_in(api: TestedApi, token: str) -> dict[str, str]:
    answer = api.post("/sign-in", data={"token": token}, headers=SAME, token="")
    assert answer.status_code == 303, answer.text
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie
    # The client keeps cookies: each request of a test brings its own.
    api._client.cookies.clear()
    return {"cookie": cookie.partition(";")[0], **SAME}


def cookie_for(api: TestedApi, token: str) -> str:
    """Return a cookie that a sign-in with a token would have."""
    accessor = tokens.accessor_of(token)
    assert accessor
    return cookies.seal(accessor, api.api.credentials.keys, time.time())[0]


def act(api: TestedApi, browser: dict[str, str], name: str, /, **form: Any) -> httpx.Response:
    return api.post(f"/actions/{name}", data=form, headers=browser, token="")


def said(api: TestedApi, browser: dict[str, str], answer: httpx.Response) -> str:
    assert answer.status_code == 303, answer.text
    page = api.get(answer.headers["location"], headers=browser, token="").text
    found = re.search(r'id="said" data-tone="(\w+)".*?<p>(.*?)</p>', page, re.S)
    assert found, page
    return f"{found[1]} {unescape(re.sub('<.*?>', ' ', found[2]))}"


def seen(api: TestedApi, browser: dict[str, str], target: str) -> str:
    """Return what the dialog says that a person has seen."""
    query = {"target": target}
    dialog = api.get("/actions/dead.drop", params=query, headers=browser, token="").text
    found = re.search(r'name="seen" value="(\d+)"', dialog)
    assert found, dialog
    return found[1]
