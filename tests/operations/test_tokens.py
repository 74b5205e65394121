"""Tokens: what they grant, and that nobody grants more than it has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from afx.app import ProcessServers
from afx.config import load
from afx.errors import ConflictError, ForbiddenError, NotFoundError, UsageError
from afx.operations import answers, tokens, users
from afx.operations.answers import Answer
from afx.operations.context import SCOPES, Actor, Context
from models.storage import audit


@pytest.fixture
def context(home: Path) -> Iterator[Context]:
    with ProcessServers(load(home=home)) as servers:
        yield servers.context(Actor("test"))


def test_a_token_is_shown_once_and_found_by_its_accessor(context: Context) -> None:
    made = tokens.create(context, "ci", scopes=["session:read"], days=1)
    accessor = tokens.accessor_of(made.token)
    assert accessor is not None
    found = tokens.valid(context)[0][accessor]
    assert found.digest == tokens.digest_of(made.token)
    assert (found.actor.name, found.actor.scopes) == ("token:ci", {"session:read"})
    assert made.token not in str(audit.listing().rows)


def test_a_revoked_token_is_not_valid_and_stays_in_the_list(context: Context) -> None:
    tokens.create(context, "ci", scopes=["*"])
    assert tokens.revoke(context, "ci") == "ci"
    assert tokens.valid(context)[0] == {}
    assert tokens.listing(context).rows[0].revoked_at is not None


def test_a_token_of_an_owner_names_a_user_that_exists(context: Context) -> None:
    with pytest.raises(NotFoundError):
        tokens.create(context, "ci", scopes=["*"], owner="alice")
    users.add(context, "alice", "free")
    assert tokens.create(context, "ci", scopes=["*"], owner="alice").owner == "alice"
    with pytest.raises(ConflictError):
        tokens.create(context, "ci", scopes=["*"])


@pytest.mark.parametrize(
    "scope", ["", "read", "session", "session:delete", "x:read", "a:b:c", "*:*"]
)
def test_what_is_no_scope_is_refused(context: Context, scope: str) -> None:
    with pytest.raises(UsageError):
        tokens.create(context, "ci", scopes=[scope])


@pytest.mark.parametrize("days", [0, -1, 401, float("nan"), float("inf")])
def test_a_token_expires_within_the_longest_time(context: Context, days: float) -> None:
    with pytest.raises(UsageError, match="days"):
        tokens.create(context, "ci", scopes=["*"], days=days)


@pytest.mark.parametrize(
    ("has", "scope", "may"),
    [
        ({"token:write", "session:read"}, "session:read", True),
        ({"token:write", "session:read"}, "session:write", False),
        ({"token:write", "session:read"}, "session:*", False),
        ({"token:write", "session:*"}, "session:*", True),
        ({"token:write", "*:read"}, "session:read", True),
        ({"token:write", "*:read"}, "*:read", True),
        ({"token:write", "session:read"}, "*:read", False),
        ({"token:*"}, "*", False),
        ({"*:write"}, "*", False),
        ({"*"}, "*", True),
    ],
)
def test_nobody_grants_more_than_it_has(
    context: Context, has: set[str], scope: str, may: bool
) -> None:
    limited = Context(Actor("limited", frozenset(has)), context.servers)
    if may:
        tokens.create(limited, "ci", scopes=[scope])
    else:
        with pytest.raises(ForbiddenError, match="cannot grant"):
            tokens.create(limited, "ci", scopes=[scope])


def test_tokens_know_every_noun_of_a_scope() -> None:
    assert {it.partition(":")[0] for it in SCOPES.values()} <= set(tokens.NOUNS)


def test_a_request_with_a_key_is_carried_out_once(context: Context) -> None:
    token = tokens.create(context, "ci", scopes=["*"]).id

    def add() -> Answer:
        users.add(context, "alice", "free")
        return Answer(201, b"{}", {"location": "/users/alice"})

    first = answers.once(context, token, "k", "digest", add)
    second = answers.once(context, token, "k", "digest", add)
    assert (first.repeated, second.repeated) == (False, True)
    assert (second.status, second.body, second.headers) == (201, b"{}", first.headers)
    with pytest.raises(answers.KeyReusedError):
        answers.once(context, token, "k", "other", add)


def test_a_request_that_fails_may_be_repeated(context: Context) -> None:
    token = tokens.create(context, "ci", scopes=["*"]).id

    def fail() -> Answer:
        users.add(context, "alice", "free")
        raise ConflictError("no")

    with pytest.raises(ConflictError):
        answers.once(context, token, "k", "digest", fail)
    assert users.listing(context).rows == ()
    assert not answers.once(context, token, "k", "digest", lambda: Answer(204)).repeated


def test_a_token_is_made_and_revoked_on_the_command_line(home: Path) -> None:
    from support.cli_runs import runner

    afx = runner(home)
    made = afx("token", "create", "ci", "--scope", "*:read")
    assert tokens.accessor_of(made.stdout.strip()), made.stderr
    assert "*:read" in afx("token", "list").stdout
    assert afx("token", "revoke", "ci", "--yes").returncode == 0
