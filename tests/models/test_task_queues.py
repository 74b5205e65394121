"""What the leader and an operator ask of the queues of tasks, on both databases."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Any

import pytest
from support.databases import together

from afx.errors import QuotaError, UsageError
from models import base
from models.base import utc_now
from models.storage import (
    sessions,
    task_queue,
    task_quotas,
    task_targets,
    task_times,
    tasks,
    users,
)
from models.storage.sessions import NewSession
from models.storage.task_queue import Ended, Publication
from models.storage.tasks import NewTask


def submit(*new: NewTask) -> list[int]:
    return tasks.submit(new or [NewTask("check")], "me")


def publish(*ids: int) -> None:
    with base.transaction():
        task_queue.publish([Publication(it, 1, "w1", "one") for it in ids], utc_now())


def states(*ids: int) -> list[str]:
    return [str(tasks.get(it)["state"]) for it in ids]


def test_whether_there_is_anything_to_publish_is_known(database: Any) -> None:
    assert not task_queue.has_queued()
    [later] = submit(NewTask("check", run_after=utc_now() + timedelta(hours=1)))
    assert not task_queue.has_queued()
    assert not task_queue.has_due(utc_now())
    assert task_queue.has_due(utc_now() + timedelta(hours=2))
    submit()
    assert task_queue.has_queued()
    assert states(later) == ["waiting"]


def test_published_tasks_are_counted_by_priority(database: Any) -> None:
    ids = submit(*(NewTask("check", priority=it) for it in (0, 2, 2, 2, 3)))
    publish(*ids[:3])
    assert task_queue.published_counts() == {0: 1, 2: 2}


def test_queued_tasks_that_can_never_run_are_ended(database: Any) -> None:
    first, second, given = submit(*(NewTask("check") for _ in range(3)))
    publish(given)
    with base.transaction():
        task_queue.fail_queued([first, given], "failed", "unknown kind")
        task_queue.fail_queued([second], "cancelled", "too late")
    assert states(first, second, given) == ["failed", "cancelled", "published"]
    assert tasks.get(first)["error"] == "unknown kind"


def test_a_deadline_is_that_of_the_first_start_of_a_task_that_no_node_has(database: Any) -> None:
    now = utc_now()
    soon, later = now - timedelta(seconds=1), now + timedelta(hours=1)
    ids = submit(
        NewTask("check", start_by=soon),
        NewTask("check", start_by=soon, run_after=later),
        NewTask("check", start_by=soon),
        NewTask("check", start_by=soon),
        NewTask("check", start_by=later),
        NewTask("check"),
    )
    publish(ids[2], ids[3])
    with base.transaction():
        task_queue.note_started([(ids[3], 1, "w1", "one", now)])
        task_queue.note_ended([Ended(ids[3], 1, "queued", run_after=now)])  # it has moved
        assert task_queue.has_late(now)
        assert task_queue.cancel_late(now, "too late") == 2
        assert not task_queue.has_late(now)
    expected = ["cancelled", "cancelled", "published", "queued", "queued", "queued"]
    assert states(*ids) == expected


def test_no_task_has_started_before_it_was_published(database: Any) -> None:
    [number] = submit()
    publish(number)
    published = tasks.get(number)["published_at"]
    with base.transaction():
        long_ago = published - timedelta(minutes=4)
        task_queue.note_started([(number, 1, "w1", "one", long_ago)])
    assert tasks.get(number)["started_at"] == published
    with base.transaction():
        task_queue.note_ended([Ended(number, 1, "failed", started_at=long_ago)])
    assert tasks.get(number)["started_at"] == published


def test_a_user_may_have_so_many_unfinished_tasks(database: Any) -> None:
    users.create("alice")
    alice = users.find("alice")
    users.set_task_share(alice, share=1, limit=2)
    submit(NewTask("check", user=alice.id))
    with base.transaction():
        task_quotas.check({alice.id: 1, 0: 9})
        with pytest.raises(QuotaError, match="may have 2"):
            task_quotas.check({alice.id: 2})
        with pytest.raises(QuotaError, match="without a user"):
            task_quotas.check({0: 10**6})


def test_two_who_submit_at_once_do_not_exceed_a_limit_together(database: Any) -> None:
    users.create("alice")
    alice = users.find("alice")
    users.set_task_share(alice, share=1, limit=4)

    def act(_number: int) -> None:
        with contextlib.suppress(QuotaError), base.transaction():
            task_quotas.check({alice.id: 3})
            submit(*[NewTask("check", user=alice.id)] * 3)

    together(4, act)
    assert tasks.counts(user=alice.id) == {(2, "queued"): 3}


def test_only_what_no_node_has_is_cancelled_at_once(database: Any) -> None:
    queued, given = submit(NewTask("check"), NewTask("check"))
    publish(given)
    assert tasks.cancel_unpublished(queued, "why")
    assert not tasks.cancel_unpublished(given, "why")
    assert states(queued, given) == ["cancelled", "published"]


def test_the_rest_of_a_batch_is_cancelled(database: Any) -> None:
    ids = submit(*(NewTask("check", user=it) for it in (7, 7, 9)))
    [alone] = submit(NewTask("check", user=7))
    publish(ids[0])
    assert tasks.cancel_batch(ids[0], "why", user=7) == 2
    assert states(*ids, alone) == ["published", "cancelled", "queued", "queued"]
    assert [it.cancelling for it in task_queue.given_out()] == [True]
    assert tasks.cancel_batch(ids[0], "why") == 2


def test_the_age_of_a_queue_is_that_of_its_oldest_task(database: Any) -> None:
    assert tasks.oldest_queued(2) is None
    begun = utc_now()
    submit(NewTask("check"))
    first = tasks.oldest_queued(2)
    submit(NewTask("check"))
    assert first is not None and first >= begun
    assert tasks.oldest_queued(2) == first
    assert tasks.oldest_queued(0) is None


def test_the_targets_of_a_task_are_sessions_with_their_user_and_tier(database: Any) -> None:
    alice, bob = users.create("alice", "premium"), users.create("bob")
    one, two = sessions.create_many(alice, [NewSession("a", "x"), NewSession("b", "x")])
    [three] = sessions.create_many(bob, [NewSession("c", "x")])
    found = task_targets.of_sessions([three, one, 999])
    assert [(it.session, it.name, it.tier) for it in found] == [
        (one, "a", "premium"),
        (three, "c", "free"),
    ]
    assert [it.session for it in task_targets.of_user(found[0].user)] == [one, two]
    assert [it.session for it in task_targets.of_user(None)] == [one, two, three]


def test_the_times_of_finished_tasks_are_known_with_their_node_and_tier(database: Any) -> None:
    [session] = sessions.create_many(users.create("alice", "premium"), [NewSession("a", "x")])
    begun = utc_now()
    done, _other = submit(NewTask("check", session), NewTask("check"))
    publish(done)
    with base.transaction():
        task_queue.note_started([(done, 1, "w1", "one", utc_now())])
        task_queue.note_ended(
            [Ended(done, 1, "succeeded", attempts=1, worker="w1", finished_at=utc_now())]
        )
    [found] = task_times.finished_since(begun, 10)
    assert (found.kind, found.worker, found.tier, found.state) == (
        "check",
        "w1",
        "premium",
        "succeeded",
    )
    assert 0 <= found.waited < 60 and 0 <= found.ran < 60
    assert task_times.finished_since(utc_now() + timedelta(hours=1), 10) == []
    assert tasks.finished_count() == 1


def test_the_shares_of_users_are_known_where_they_are_not_one(database: Any) -> None:
    alice, bob = users.create("alice"), users.create("bob")
    users.set_task_share(alice, share=3, limit=None)
    assert task_queue.task_shares([alice.id, bob.id]) == {alice.id: 3}
    assert users.task_limits([alice.id, bob.id]) == {}
    users.set_task_share(bob, share=1, limit=0)
    assert users.task_limits([alice.id, bob.id]) == {bob.id: 0}


@pytest.mark.parametrize(("share", "limit"), [(0, None), (10**6, None), (1, -1), (1, 2**31)])
def test_a_share_or_limit_out_of_range_changes_nothing(
    database: Any, share: int, limit: int | None
) -> None:
    alice = users.create("alice")
    with pytest.raises(UsageError):
        users.set_task_share(alice, share=share, limit=limit)
    assert task_queue.task_shares([alice.id]) == {}


def test_the_oldest_task_of_each_queue_is_known(database: Any) -> None:
    assert tasks.oldest_by_priority() == {}
    submit(NewTask("check", priority=0), NewTask("check"), NewTask("check"))
    found = tasks.oldest_by_priority()
    assert set(found) == {0, 2}
    assert found[2] == tasks.oldest_queued(2)
