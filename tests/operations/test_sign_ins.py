"""A session gets a new login of its account, and stays the session that it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from support.databases import prepare
from telethon.crypto import AuthKey
from telethon.sessions import StringSession

from afx import app
from afx.app import ProcessServers
from afx.config import load
from afx.errors import ConflictError, SecretError, UsageError
from afx.operations import audit_log, sessions, sign_ins
from afx.operations.context import Actor, Context
from cli.login import ended_unless_kept
from models.storage import rules, troubles, users
from models.storage import sessions as stored
from models.storage.rules import NewRule
from models.storage.sessions import NewSession
from models.tables import Session


def login(letter: bytes) -> str:
    made = StringSession()
    made.set_dc(2, "149.154.167.51", 443)
    made.auth_key = AuthKey(letter * 256)
    return str(made.save())


@pytest.fixture
def context(home: Path) -> Iterator[Context]:
    prepare(home)
    with ProcessServers(load(home=home)) as servers:
        servers.open_database(create=True)
        made = servers.context(Actor("test"))
        users.create("alice")
        number = sessions.add(made, "main", "alice", login(b"a"), account=5)
        sessions.add(made, "other", "alice", login(b"b"))
        rules.create_many([NewRule(number, "news", ["@aaaa"], ["@bbbb"])])
        yield made


def opened(context: Context, name: str) -> str:
    row = stored.find(name)
    return context.servers.vault().open(row.login, session_id=row.id)


def test_a_lost_login_is_replaced_and_the_session_runs_again(context: Context) -> None:
    before = sessions.show(context, "main").session
    troubles.note_lost_logins([(before.id, 9, "the login is lost")])
    assert sign_ins.check_again(context, "main").state == "paused"
    done = sign_ins.replace_login(context, "main", login(b"c"), account=5)
    after = sessions.show(context, "main")
    assert done.control is not None
    assert (after.session.id, after.session.state, after.session.trouble) == (
        before.id,
        "unplaced",
        "",
    )
    assert [it.name for it in after.rules] == ["news"]
    assert opened(context, "main") == login(b"c")
    [entry] = audit_log.listing(context, action="session.login").rows
    assert entry.details["after"] == {"account": 5}
    assert login(b"c")[:40] not in str(entry.details)


def test_a_session_that_an_operator_has_paused_stays_paused(context: Context) -> None:
    sessions.pause(context, "main")
    done = sign_ins.replace_login(context, "main", login(b"c"), account=5)
    assert (done.control, done.note) == (None, "has a new login and is paused")
    assert sessions.show(context, "main").session.state == "paused"


def test_the_login_of_another_account_is_refused(context: Context) -> None:
    with pytest.raises(UsageError, match="account 6, and session 'main' is of account 5"):
        sign_ins.replace_login(context, "main", login(b"c"), account=6)
    assert opened(context, "main") == login(b"a")
    # Of an imported login the account is not known.
    with pytest.raises(UsageError, match="--set-account"):
        sign_ins.check_again(context, "other")
    with pytest.raises(UsageError, match="--set-account"):
        sign_ins.replace_login(context, "other", login(b"d"), account=7)
    sign_ins.replace_login(context, "other", login(b"d"), account=7, set_account=True)
    assert sessions.show(context, "other").session.account == 7
    sessions.add(context, "second", "alice", login(b"e"), account=7)
    assert sign_ins.of_account(context, 7) == ["other", "second"]


def test_a_login_that_another_session_has_is_refused(context: Context) -> None:
    with pytest.raises(ConflictError, match="Session 'other' has this very login"):
        sign_ins.replace_login(context, "main", login(b"b"), account=5)
    assert opened(context, "main") == login(b"a")


def test_a_session_that_is_being_removed_gets_no_login(context: Context) -> None:
    stored.mark_removing(stored.find("main"))
    with pytest.raises(ConflictError, match="is being removed"):
        sign_ins.check_again(context, "main")


def test_a_dry_run_changes_nothing(context: Context) -> None:
    dry = context.servers.context(Actor("test"), dry_run=True)
    sign_ins.replace_login(dry, "main", login(b"c"), account=5)
    assert opened(context, "main") == login(b"a")


def test_a_login_that_is_lost_while_another_one_is_stored_pauses_nothing(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stored.replace_login

    def late(session: Session, new: NewSession) -> None:
        troubles.note_lost_logins([(session.id, session.revision, "the login is lost")])
        store(session, new)

    before = stored.find("main")
    monkeypatch.setattr(stored, "replace_login", late)
    done = sign_ins.replace_login(context, "main", login(b"c"), account=5)
    assert done.control is not None, "it was paused while the person signed in"
    troubles.note_lost_logins([(before.id, before.revision, "the login is lost")])
    after = sessions.show(context, "main").session
    assert (after.state, after.trouble) == ("unplaced", ""), "a report of the old one comes later"


def test_a_login_that_could_not_be_stored_is_refused_before_a_person_signs_in(
    context: Context, home: Path
) -> None:
    key = Fernet.generate_key().decode()
    with ProcessServers(load(home=home, secret_key=key)) as servers:
        servers.open_database(create=False)
        other = servers.context(Actor("test"))
        with pytest.raises(SecretError):
            sign_ins.check_again(other, "main")
        with pytest.raises(SecretError):
            sessions.check_new(other, "new", "alice")


def test_a_login_that_is_not_stored_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []
    monkeypatch.setattr(app, "sign_out", lambda _, text, **_how: ended.append(text))
    signed = app.SignedIn("the login", "alice", 5, bot=False)
    with ended_unless_kept(load(), signed, sandbox=False):
        pass
    assert ended == []
    with pytest.raises(ConflictError), ended_unless_kept(load(), signed, sandbox=False):
        raise ConflictError("taken")
    assert ended == ["the login"]
