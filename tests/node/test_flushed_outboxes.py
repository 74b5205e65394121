"""Chunks of an outbox that a flushed Redis gets back from SQL after they were sent."""

from __future__ import annotations

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import StoredLinks, one_rule, say, texts

from afx.forwarding.pipeline import Delivery
from afx.node.outbox import Outbox
from afx.node.outboxes import load
from afx.telegram.session import MalformedPositionError


def test_what_sql_brings_back_of_an_outbox_leaves_redis_again() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, slow = one_rule(sandbox)
        said = [f"message {number}" for number in range(300)]
        say(sandbox, source, "before")
        session = harness.session(account, (source, slow, "copy"))
        await session.start()
        chunk = f"outbox:{slow.marked}:0"
        cursors = {**harness.commit(session), chunk: f"1:c:{source.marked}:2-201"}
        await session.stop()
        say(sandbox, source, *said)
        cursors[f"channel:{source.id}"] = str(source.box.pts)
        # A node goes on with the outbox, and empties it.
        session = harness.session(account, (source, slow, "copy"), cursors=cursors)
        await session.start()
        await until(lambda: len(texts(slow)) == 200)
        harness.progress = dict(cursors)
        await until(lambda: chunk not in harness.commit(session))
        session.note_committed()
        # Redis is flushed; SQL's older copy comes back (HSETNX), the node writes all it knows.
        session.mark_all_dirty()
        now = session.collect_uncommitted()
        fields = dict(zip(now.cursor[::2], now.cursor[1::2], strict=True))
        harness.progress = {it: text for it, text in {**cursors, **fields}.items() if text}
        await session.stop()
        # The links' days are over when it is started again, and Telegram has forgotten.
        harness.links = StoredLinks()
        for it in sandbox.server.world.accounts.values():
            it.sent.clear()
        again = harness.session(account, (source, slow, "copy"), cursors=dict(harness.progress))
        await again.start()
        say(sandbox, source, "the last one")
        await until(lambda: "the last one" in texts(slow))
        await again.stop()
        assert len(texts(slow)) == len(set(texts(slow))), f"{len(texts(slow))} copies"

    run_scenario(scenario)


def taken(made: Outbox) -> dict[str, str]:
    return dict(zip(*[iter(made.take_fields())] * 2, strict=True))


def settle(made: Outbox, count: int) -> None:
    for _ in range(count):
        [ticket] = made.begin(1)
        ticket.open = 0
        made.advance()


def test_chunks_that_come_back_after_the_node_has_written_its_own_are_known_as_sent() -> None:
    made = Outbox(3)
    for message in range(1, 601):
        made.append(Delivery(1, "copy", 5, message, 3, 1, "", (), False))
    redis = taken(made)
    copy = dict(redis)  # SQL's
    settle(made, 300)
    redis.update(taken(made))
    assert redis["first:3"] == "1"
    # Flushed: the node writes all it knows, and only then SQL's copy fills in what is missing.
    made.mark_all()
    redis = {it: text for it, text in taken(made).items() if text}
    redis = {**copy, **redis}
    assert "outbox:3:0" in redis
    loaded = load(dict(redis))[3]
    assert [it.message for it in loaded.first(3)] == [301, 302, 303]
    assert loaded.count == 300
    loaded.append(Delivery(1, "copy", 5, 601, 3, 1, "", (), False))
    fields = taken(loaded)
    assert fields["outbox:3:0"] == "", "it leaves Redis with the next commit"


def test_an_outbox_that_was_emptied_stays_empty_whatever_comes_back() -> None:
    made = Outbox(3)
    for message in range(1, 601):
        made.append(Delivery(1, "copy", 5, message, 3, 1, "", (), False))
    copy = taken(made)
    settle(made, 600)
    redis = {**copy, **{it: text for it, text in taken(made).items() if text}}
    assert redis["first:3"] == "3"
    loaded = load(redis)[3]
    assert not loaded
    loaded.append(Delivery(1, "copy", 5, 700, 3, 1, "", (), False))
    fields = taken(loaded)
    assert {it: text for it, text in fields.items() if text} == {"outbox:3:3": "1:c:5:700"}
    assert load({**copy, "first:3": "3", **fields})[3].count == 1


def test_the_first_chunk_that_could_not_be_stored_is_stored_later() -> None:
    made = Outbox(3)
    for message in range(1, 301):
        made.append(Delivery(1, "copy", 5, message, 3, 1, "", (), False))
    taken(made)
    settle(made, 256)
    assert taken(made)["first:3"] == "1"
    made.put_back()
    assert taken(made)["first:3"] == "1"
    assert taken(made) == {}


@pytest.mark.parametrize("text", ["", "x", "-1", "1" * 13])
def test_a_malformed_first_chunk_is_refused(text: str) -> None:
    with pytest.raises(MalformedPositionError):
        load({"first:3": text})
    with pytest.raises(MalformedPositionError):
        load({"first:x": "1"})
