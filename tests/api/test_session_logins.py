"""New logins of sessions over the API, at a sandbox: a code, a password, a session string."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs
from support import api as support_api
from support.api import TestedApi
from support.sandbox import SandboxHarness, running_sandbox

from afx.local import private_redis
from afx.operations import audit_log
from afx.sandbox.telegram import srp
from models.base import execute
from models.storage import sessions
from models.tables import Session

PHONE = "99966123"
SANDBOX = {"sandbox": True}


@pytest.fixture(scope="module")
def api(_redis_home: Path) -> Iterator[TestedApi]:
    home = Path(tempfile.mkdtemp(prefix="afx-t-"))
    url = private_redis.url_for(_redis_home)
    with support_api.tested_api(home, url, test_networks="127.0.0.0/8") as found:
        yield found
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def sandbox(api: TestedApi) -> Iterator[SandboxHarness]:
    running = running_sandbox()
    found = api.run(running.__aenter__())
    server = found.server
    key = server.rsa.public_pem.decode()
    address = {"host": server.host, "port": server.port, "public_key": key}
    (api.servers.settings.home / "sandbox.json").write_text(json.dumps(address))
    yield found
    api.run(running.__aexit__(None, None, None))  # type: ignore[arg-type]


@pytest.fixture
def account(sandbox: SandboxHarness) -> Any:
    """The account of session a-1."""
    world = sandbox.server.world
    found = next((it for it in world.accounts.values() if it.phone == PHONE), None)
    found = found or world.add_account(PHONE)
    found.password = None
    Session.update(account=found.id).where(Session.name == "a-1").execute()
    return found


def post(api: TestedApi, step: str, body: dict[str, Any], name: str = "a-1", **given: Any) -> Any:
    answer = api.post(f"/api/v1/sessions/{name}/{step}", json={**body, **SANDBOX}, **given)
    assert isinstance(answer, httpx.Response)
    return answer


def begin(api: TestedApi, **given: Any) -> str:
    answer = post(api, "sign-in", {"phone": f"+{PHONE}"}, **given)
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "code"
    return str(answer.json()["sign_in"])


def login_of(api: TestedApi, name: str) -> str:
    row = sessions.find(name)
    return api.servers.vault().open(row.login, session_id=row.id)


def works(api: TestedApi, sandbox: SandboxHarness, login: str) -> int:
    async def asked() -> int:
        client = await sandbox.client(login)
        return int((await client.get_me()).id)

    return api.run(asked())


def signed_in(sandbox: SandboxHarness, account: Any) -> set[int]:
    return {it.key_id for it in sandbox.server.logins(account.id)}


def test_a_code_gives_a_session_a_new_login_and_lets_it_run_again(
    api: TestedApi, sandbox: SandboxHarness, account: Any
) -> None:
    lost = {"trouble": "login lost", "desired_state": "paused"}
    Session.update(**lost).where(Session.name == "a-1").execute()
    with capture_logs() as logged:
        sign_in = begin(api)
        code = sandbox.server.sign_ins.code(PHONE)
        answer = post(api, "sign-in/answer", {"sign_in": sign_in, "code": code})
    done = answer.json()
    assert (done["state"], done["account"], done["sign_in"]) == ("done", account.id, "")
    login = login_of(api, "a-1")
    assert works(api, sandbox, login) == account.id
    row = sessions.describe(sessions.find("a-1"))
    assert row["desired_state"] == "running" and not row["trouble"] and done["control"]
    # Nothing of it is where anybody may look: not in logs, answers, the audit log or SQL.
    entries = audit_log.listing(api.context, target="session/a-1").rows
    places = [logged, answer.text, entries, execute("SELECT * FROM sessions").fetchall()]
    for it in places:
        assert not [text for text in (login, code, sign_in, PHONE) if text in str(it)]
    assert "afx" not in sign_in and login not in sign_in


def test_the_password_of_two_steps_is_asked_for_and_may_be_corrected(
    api: TestedApi, sandbox: SandboxHarness, account: Any
) -> None:
    account.password = srp.verifier("pässword")
    sign_in = begin(api)
    code = sandbox.server.sign_ins.code(PHONE)
    wrong = f"{(int(code) + 1) % 100_000:05d}"
    refused = post(api, "sign-in/answer", {"sign_in": sign_in, "code": wrong})
    assert refused.status_code == 422 and "code is wrong" in refused.json()["detail"]
    second = post(api, "sign-in/answer", {"sign_in": sign_in, "code": code}).json()
    assert second["state"] == "password"
    early = post(api, "sign-in/answer", {"sign_in": second["sign_in"], "code": code})
    assert early.status_code == 422 and "needs the password" in early.json()["detail"]
    for word, status in (("nope", 422), ("pässword", 200)):
        body = {"sign_in": second["sign_in"], "password": word}
        answer = post(api, "sign-in/answer", body)
        assert answer.status_code == status, answer.text
        assert word not in answer.text
    assert works(api, sandbox, login_of(api, "a-1")) == account.id


def test_a_session_string_is_taken_when_it_is_of_the_same_account(
    api: TestedApi, sandbox: SandboxHarness, account: Any
) -> None:
    login = sandbox.login(account, 7)
    done = post(api, "login", {"login": login})
    assert done.status_code == 200, done.text
    assert (done.json()["state"], done.json()["account"]) == ("done", account.id)
    assert login_of(api, "a-1") == login
    # The same one again, for this session or another one, would run twice.
    for name in ("a-1", "b-1"):
        again = post(api, "login", {"login": login, "set_account": True}, name=name)
        assert again.status_code == 409 and "run twice" in again.json()["detail"]
    other = sandbox.server.world.add_account("99966777")
    for wrong in (sandbox.login(other, 8), "1nonsense"):
        refused = post(api, "login", {"login": wrong})
        assert refused.status_code == 422 and wrong not in refused.text
    assert login_of(api, "a-1") == login


def test_a_login_that_telegram_does_not_know_changes_nothing(
    api: TestedApi, sandbox: SandboxHarness, account: Any
) -> None:
    before, login = login_of(api, "a-1"), sandbox.login(account, 9)
    sandbox.server.keys.clear()
    refused = post(api, "login", {"login": login})
    assert refused.status_code == 422, refused.text
    assert login_of(api, "a-1") == before


def test_a_sign_in_to_another_account_is_ended_and_changes_nothing(
    api: TestedApi, sandbox: SandboxHarness, account: Any
) -> None:
    before = login_of(api, "a-1")
    Session.update(account=account.id + 1).where(Session.name == "a-1").execute()
    sign_in, keys = begin(api), signed_in(sandbox, account)
    body = {"sign_in": sign_in, "code": sandbox.server.sign_ins.code(PHONE)}
    refused = post(api, "sign-in/answer", body)
    assert refused.status_code == 422 and "account" in refused.json()["detail"]
    assert login_of(api, "a-1") == before
    assert signed_in(sandbox, account) == keys


def test_a_sign_in_is_good_for_its_session_and_who_began_it(
    api: TestedApi, sandbox: SandboxHarness, account: Any
) -> None:
    sign_in = begin(api)
    code = sandbox.server.sign_ins.code(PHONE)
    body = {"sign_in": sign_in, "code": code}
    for refused in (
        post(api, "sign-in/answer", body, name="b-1"),
        post(api, "sign-in/answer", body, token=api.token("session:*")),
        post(api, "sign-in/answer", {**body, "sign_in": sign_in[:-2] + "AA"}),
        post(api, "sign-in/answer", {**body, "sign_in": sessions.find("a-1").login}),
        post(api, "sign-in/answer", {"sign_in": sign_in}),
        post(api, "sign-in/answer", {**body, "password": "both"}),
    ):
        assert refused.status_code == 422, refused.text
    foreign = post(api, "sign-in/answer", body, token=api.token("*", owner="bob"))
    assert foreign.status_code == 404


def test_a_customer_gives_its_own_session_a_login(
    api: TestedApi, sandbox: SandboxHarness, account: Any
) -> None:
    own = api.token("session:*", owner="alice")
    sign_in = begin(api, token=own)
    body = {"sign_in": sign_in, "code": sandbox.server.sign_ins.code(PHONE)}
    assert post(api, "sign-in/answer", body, token=own).json()["state"] == "done"


def test_a_dry_run_asks_nobody_and_no_sandbox_or_keys_are_a_conflict(api: TestedApi) -> None:
    dry = api.post(
        "/api/v1/sessions/b-1/sign-in",
        json={"phone": "+1", "set_account": True},
        params={"dry_run": "true"},
    )
    assert dry.status_code == 200 and not dry.json()["sign_in"]
    body = {"phone": "+15551234567", "set_account": True}
    answer = api.post("/api/v1/sessions/b-1/sign-in", json=body)
    assert answer.status_code == 409 and "AFX_API_ID" in answer.json()["detail"]
    unknown = api.post("/api/v1/sessions/b-1/sign-in", json={"phone": "+15551234567"})
    assert unknown.status_code == 422
