"""Submitting tasks through the operations: who may, for whom, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.databases import open_sqlite

from afx.app import ProcessServers
from afx.config import load
from afx.errors import ConflictError, ForbiddenError, QuotaError, UsageError
from afx.operations import queues, task_requests, task_times, users
from afx.operations import tasks as acts
from afx.operations.context import Actor, Context
from afx.operations.task_requests import TaskRequest
from afx.tasks.kinds import KINDS
from models import base
from models.base import utc_now
from models.storage import audit, task_queue, tasks
from models.storage.sessions import NewSession, create_many
from models.storage.task_queue import Publication
from models.storage.users import create as create_user

CHECK = "session.check"


@pytest.fixture
def contexts(home: Path) -> Any:
    open_sqlite(home)
    servers = ProcessServers(load(home=home))
    servers.vault()
    for name, tier, count in (("alice", "free", 2), ("bob", "premium", 1)):
        new = [NewSession(f"{name}-{it}", "sealed", f"{name}-{it}") for it in range(count)]
        create_many(create_user(name, tier), new)
    yield lambda owner="", **options: servers.context(Actor("me", owner=owner), **options)
    base.close_database()


NewContext = Callable[..., Context]


def submit(context: Context, kind: str = CHECK, **fields: Any) -> tuple[int, ...]:
    return task_requests.submit(context, TaskRequest(kind=kind, **fields)).ids


def test_a_batch_has_a_task_for_each_session_in_the_queue_of_its_user(
    contexts: NewContext,
) -> None:
    submitted = task_requests.submit(contexts(), TaskRequest(kind=CHECK, every_session=True))
    rows = acts.listing(contexts(), batch=submitted.batch).rows
    found = [(it.session, it.priority) for it in rows]
    assert found == [("bob-0", "premium"), ("alice-1", "high"), ("alice-0", "high")]
    [entry] = audit.listing(limit=1).rows
    assert (entry["action"], entry["details"]["tasks"]) == ("task.submit", 3)


def test_the_row_and_its_audit_entry_are_written_together(
    contexts: NewContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise UsageError("the audit log is full")

    monkeypatch.setattr(audit, "append", fail)
    with pytest.raises(UsageError):
        submit(contexts(), every_session=True)
    assert tasks.listing().rows == []


def test_a_dry_run_queues_nothing(contexts: NewContext) -> None:
    submit(contexts(dry_run=True), every_session=True)
    assert tasks.listing().rows == []


def test_an_owner_sees_and_changes_own_tasks_only(contexts: NewContext) -> None:
    [of_bob] = submit(contexts(), sessions=["bob-0"])
    alice = contexts("alice")
    own = submit(alice, every_session=True)
    assert {it.id for it in acts.listing(alice).rows} == set(own)
    for act in (acts.show, acts.cancel, acts.retry, acts.steps, acts.cancel_batch):
        with pytest.raises(UsageError, match="no task"):
            act(alice, of_bob)
    with pytest.raises(UsageError):
        submit(alice, sessions=["bob-0"])
    with pytest.raises(ForbiddenError):
        submit(alice, user="bob")
    with pytest.raises(ForbiddenError, match="premium"):
        submit(alice, sessions=["alice-0"], priority="premium")
    with pytest.raises(ForbiddenError):
        queues.purge(alice, "low")


def test_who_looks_at_a_task_sees_what_it_waits_for(contexts: NewContext) -> None:
    [number] = submit(contexts(), sessions=["bob-0"])
    with base.transaction():
        task_queue.hold([number])
    assert "runs on no node" in acts.listing(contexts()).rows[0].error
    assert acts.waits_for_session(acts.show(contexts(), number))
    assert [it.step for it in acts.steps(contexts(), number)] == ["submitted", "waits"]
    [later] = submit(contexts(), sessions=["bob-0"], delay_seconds=60)
    assert not acts.waits_for_session(acts.show(contexts(), later))
    assert [it.step for it in acts.steps(contexts(), later)] == ["submitted", "next attempt"]


def test_a_single_task_is_no_batch(contexts: NewContext) -> None:
    [number] = submit(contexts(), sessions=["bob-0"])
    with pytest.raises(UsageError, match="not the first one of a batch"):
        acts.cancel_batch(contexts(), number)
    assert acts.show(contexts(), number).task.state == "queued"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "os.system"}, "one of"),
        ({"kind": "chat.join", "arguments": {"chat": "x y"}, "every_session": True}, "chat"),
        ({"kind": "chat.join", "arguments": {"a": 1}, "every_session": True}, "chat"),
        ({"kind": CHECK}, "one of them"),
        ({"kind": CHECK, "every_session": True, "user": "bob"}, "one of them"),
        ({"kind": CHECK, "sessions": ["nobody"]}, "no session"),
        ({"kind": "task.probe", "every_session": True}, "needs no session"),
        ({"kind": CHECK, "every_session": True, "priority": "odd"}, "priority"),
        ({"kind": CHECK, "every_session": True, "keep_newest": True}, "unique key"),
        ({"kind": CHECK, "every_session": True, "unique_key": "x" * 101}, "100"),
    ],
)
def test_what_is_wrong_in_a_request_is_said_in_a_sentence(
    contexts: NewContext, fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        submit(contexts(), **fields)
    assert tasks.listing().rows == []


def test_content_is_sealed_in_sql_and_in_the_audit_log(contexts: NewContext) -> None:
    arguments = {"chats": ["@abc"], "text": "very secret words"}
    [number] = submit(contexts(), "message.broadcast", sessions=["bob-0"], arguments=arguments)
    stored = tasks.get(number)["arguments"]
    vault = contexts().servers.vault()
    assert "secret" not in stored
    assert "secret" in vault.open_arguments(stored, kind="message.broadcast")
    assert "secret" not in str(audit.listing(limit=9).rows)
    assert acts.show(contexts(), number).arguments is None


def test_the_newest_of_a_key_replaces_the_one_that_waits(contexts: NewContext) -> None:
    fields = {"sessions": ["bob-0"], "unique_key": "a"}
    [first] = submit(contexts(), **fields)
    with pytest.raises(UsageError, match="has not finished"):
        submit(contexts(), **fields)
    [second] = submit(contexts(), **fields, keep_newest=True, delay_seconds=5)
    assert (tasks.get(first)["state"], tasks.get(second)["state"]) == ("cancelled", "waiting")
    with base.transaction():
        task_queue.release_due(tasks.get(second)["run_after"])
        task_queue.publish([Publication(second, 1)], utc_now())
    with pytest.raises(ConflictError, match=f"Task {second} of that key is with a node"):
        submit(contexts(), **fields, keep_newest=True)
    assert tasks.get(second)["state"] == "published"


def test_a_user_has_no_more_tasks_than_its_limit(contexts: NewContext) -> None:
    users.set_task_share(contexts(), "alice", limit=3)
    submit(contexts(), user="alice")
    with pytest.raises(QuotaError, match="may have 3"):
        submit(contexts(), user="alice")
    submit(contexts(), sessions=["bob-0"])
    [number] = submit(contexts(), sessions=["alice-0"])
    acts.cancel(contexts(), number)
    submit(contexts(), sessions=["alice-0"])
    with pytest.raises(QuotaError, match="may have 3"):
        acts.retry(contexts(), number)
    users.set_task_share(contexts(), "alice", limit=0)
    acts.retry(contexts(), number)
    submit(contexts(), user="alice")


def test_a_share_is_a_number_in_its_range_and_stays_in_a_dry_run(contexts: NewContext) -> None:
    assert users.set_task_share(contexts(dry_run=True), "alice", share=9).task_share == 9
    assert users.show(contexts(), "alice").task_share == 1
    users.set_task_share(contexts(), "alice", share=9)
    assert users.set_task_share(contexts(), "alice", limit=5).task_share == 9
    [entry] = audit.listing(limit=1).rows
    assert entry["details"]["after"] == {"share": 9, "limit": 5}
    for wrong in (0, 101, -1):
        with pytest.raises(UsageError, match="share"):
            users.set_task_share(contexts(), "alice", share=wrong)
    with pytest.raises(UsageError, match="limit"):
        users.set_task_share(contexts(), "alice", limit=2**31)


def test_arguments_are_given_as_pairs() -> None:
    pairs = task_requests.parse_pairs
    assert pairs("chat.join", ["chat=@a=b"]) == {"chat": "@a=b"}
    many = ["chats=@a", "chats=@b", "text=hi", "pause_seconds=2"]
    found = pairs("message.broadcast", many)
    assert found == {"chats": ["@a", "@b"], "text": "hi", "pause_seconds": "2"}
    assert pairs("message.broadcast", ['chats=["@a"]'])["chats"] == ["@a"]
    for wrong in ("chat", "=x", "odd=1"):
        with pytest.raises(UsageError):
            pairs("chat.join", [wrong])
    with pytest.raises(UsageError, match="twice"):
        pairs("chat.join", ["chat=@a", "chat=@b"])


def test_a_queue_shows_its_tasks_and_is_emptied(contexts: NewContext) -> None:
    submit(contexts(), every_session=True)
    high = queues.show(contexts(), "high")
    assert (high.queued, high.running) == (2, 0)
    assert high.oldest_seconds is not None
    assert set(tasks.oldest_by_priority()) == {0, 1}
    assert queues.purge(contexts(), "high") == 2
    assert [it.queued for it in queues.listing(contexts())] == [1, 0, 0, 0]
    assert task_times.times(contexts()) == []


def test_a_replay_that_ends_before_it_begins_is_refused(contexts: NewContext) -> None:
    wrong = {"rule": 1, "first": 9, "last": 3}
    with pytest.raises(UsageError, match="wrong: last: it is before the first message; swap"):
        submit(contexts(), "rule.replay", arguments=wrong, sessions=("alice-0",))


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("message.broadcast", {"chats": ["@chat"], "text": "hi", "pause_seconds": 1.0}),
        ("chat.backfill", {"source": "@a_chat", "destination": "@b_chat", "most": 1}),
        ("rule.test", {"rule": 1}),
    ],
)
def test_nodes_of_an_earlier_version_know_all_arguments_of_a_task_that_asks_for_nothing_new(
    kind: str, given: dict[str, Any]
) -> None:
    arguments = KINDS[kind].arguments
    made = arguments.model_validate(given)
    known = {*arguments.model_fields} - {"to_strangers", "message", "source", "shows_copy"}
    known |= {"source"} & given.keys()
    assert json.loads(made.model_dump_json()).keys() == known
    new = {"message": 5} if kind == "rule.test" else {"to_strangers": True}
    text = arguments.model_validate(given | new).model_dump_json()
    assert new.items() <= json.loads(text).items()
    assert arguments.model_validate_json(text) == arguments.model_validate(given | new)
