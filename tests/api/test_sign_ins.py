"""What a sign-in is worth: its cookie, and the streams that it opened."""

from __future__ import annotations

import asyncio

import pytest
from support.api import TestedApi
from support.dashboard import SAME, cookie_for

from afx.operations import tokens


def test_a_stream_of_events_ends_with_the_token_that_opened_it(api: TestedApi) -> None:
    made = tokens.create(api.context, "listens", scopes=["*"]).token
    cookie = cookie_for(api, made)
    credentials = api.api.credentials
    credentials.forget()

    async def run() -> None:
        signed_in = await credentials.signed_in(cookie)
        assert signed_in
        token, sign_in = signed_in
        other = await credentials.bearer(made)
        assert (
            other and await credentials.hold(token, sign_in) and await credentials.hold(other, None)
        )
        await credentials.sign_out(sign_in)
        assert not await credentials.hold(token, sign_in) and await credentials.hold(other, None)
        headers = {"authorization": f"Bearer {made}", "accept": "text/event-stream"}
        stream = asyncio.create_task(api._client.get("/api/v1/events", headers=headers))
        async with asyncio.timeout(60):
            while not api.api.hub.clients:
                await asyncio.sleep(0.01)
            assert not stream.done()
            tokens.revoke(api.context, "listens")  # by another process: nobody tells this one
            assert (await stream).status_code == 200  # it has ended
        assert not api.api.hub.clients

    api.run(run())


def test_by_https_the_cookie_has_a_name_that_no_other_host_can_plant(api: TestedApi) -> None:
    token, cookie = api.token("*"), cookie_for(api, api.token("*"))
    answer = api.post("https://api/sign-in", data={"token": token}, headers=SAME, token="")
    api._client.cookies.clear()
    assert answer.headers["set-cookie"].startswith("__Host-afx=")
    assert "Secure" in answer.headers["set-cookie"] and "Path=/" in answer.headers["set-cookie"]
    for name, status in (("__Host-afx", 200), ("afx", 401)):
        headers = {"cookie": f"{name}={cookie}"}
        assert api.get("https://api/api/v1/users", headers=headers, token="").status_code == status


@pytest.mark.parametrize("body", [b"a=1&" * 50, b"\xff\x00=%", b"token=%ff%00", b"&" * 60_000])
def test_a_form_for_signing_in_that_is_none_is_a_mistake_and_no_crash(
    api: TestedApi, body: bytes
) -> None:
    headers = {**SAME, "content-type": "application/x-www-form-urlencoded"}
    answer = api.post("/sign-in", content=body, headers=headers, token="")
    assert answer.status_code in (401, 422) and "set-cookie" not in answer.headers
