"""A rule with ``dedupe`` forwards each content once, whatever source it comes from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.following import settled
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, one_rule, say, texts
from telethon.tl import functions, types

from afx.coordinator.checkpoints import _FIELD
from afx.forwarding.dedupe import Dedupe
from afx.forwarding.options import Options
from afx.forwarding.pipeline import Incoming
from afx.forwarding.rules import Route
from afx.node import seen_contents
from afx.node.outbox import Outbox
from afx.node.plugin_verdicts import DROPPED
from afx.node.references import Reference
from afx.node.seen_contents import SeenContents
from afx.node.unforwarded import note_settled
from afx.reasons import DeadReason
from afx.sandbox.judge.flow import delete
from afx.telegram.contents import content_digest
from afx.telegram.sender import Outcome
from afx.telegram.session import MalformedPositionError

A, B, TO = -1_000_000_000_005, -1_000_000_000_006, -1_000_000_000_007
ROUTE = Route(1, TO, "copy", options=Options(dedupe=Dedupe(60)))
OTHER = replace(ROUTE, destination=-9)
OPTIONS = {"options": {"dedupe": 3_600}}


class Bench:
    """The contents of one session, what is stored of them, and the time."""

    def __init__(self, stored: dict[str, str] | None = None) -> None:
        self.now = 1_000.0
        self.stored: dict[str, str] = dict(stored or {})
        self.doubled: list[int] = []
        self.seen = SeenContents(lambda: self.now, self.doubled.extend)
        self.seen.load(dict(self.stored))
        self.use(ROUTE)

    def use(self, *routes: Route, incomplete: Any = ()) -> None:
        self.seen.use_routes({A: routes, B: routes}, dict.fromkeys(incomplete))

    def takes(self, chat: int, number: int, text: str = "news", *routes: Route) -> list[int]:
        message = Incoming(chat, number, text, (), False)
        return [it.destination for it in self.seen.fresh(message, routes or (ROUTE,))]

    def commit(self) -> dict[str, str]:
        fields = self.seen.take_fields()
        self.stored.update(zip(fields[::2], fields[1::2], strict=True))
        self.stored = {it: text for it, text in self.stored.items() if text}
        assert all(_FIELD.fullmatch(f"{it}={text}") for it, text in self.stored.items())
        self.seen.note_committed()
        return self.stored


def test_a_content_is_taken_once_and_belongs_to_the_message_that_it_came_with() -> None:
    it = Bench()
    assert it.takes(A, 1)
    assert not it.takes(B, 7) and not it.takes(A, 2)
    assert it.doubled == [1, 1]
    assert it.takes(A, 1), "it is replayed"
    assert it.takes(B, 8, "other news")
    it.now += 59
    assert not it.takes(B, 9)
    it.now += 2
    assert it.takes(B, 10), "the window is over"
    assert not it.takes(A, 1), "and it has another owner now"


def test_each_rule_has_its_own_memory_and_all_its_destinations_get_a_message() -> None:
    it = Bench()
    both = (ROUTE, replace(ROUTE, destination=-9))
    plain = Route(2, -8, "copy")
    it.use(*both, plain)
    assert it.takes(A, 1, "news", *both, plain) == [TO, -9, -8]
    assert it.takes(B, 2, "news", *both, plain) == [-8]


def test_what_a_filter_could_not_judge_is_neither_dropped_nor_remembered() -> None:
    it = Bench()
    unjudged = replace(ROUTE, unjudged="its filter failed")
    assert it.takes(A, 1, "news", unjudged)
    assert it.takes(A, 2), "the first one may be refused when it is judged"
    assert it.takes(A, 3, "news", unjudged)


def test_contents_outlive_a_restart() -> None:
    it = Bench()
    it.takes(A, 1)
    again = Bench(it.commit())
    assert not again.takes(B, 2) and again.takes(A, 1)
    assert not again.commit() or again.stored == it.stored


def test_what_could_not_be_stored_is_stored_by_the_next_commit() -> None:
    it = Bench()
    it.takes(A, 1)
    assert it.seen.is_unstored([1]) and not it.seen.is_unstored([2])
    it.seen.take_fields()
    assert it.seen.is_unstored([1]), "it is under way"
    it.seen.put_back()
    it.commit()
    assert not it.seen.is_unstored([1])
    it.stored = {}
    it.seen.mark_all()
    assert not Bench(it.commit()).takes(B, 2), "Redis had lost its data"


def test_memory_is_bounded_and_older_contents_leave_the_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(seen_contents, "_CHUNK", 2)
    monkeypatch.setattr(seen_contents, "_CHUNKS", 3)
    it = Bench()
    copy: dict[str, str] = {}
    for number in range(20):
        assert it.takes(A, number + 1, f"news {number}")
        copy |= it.commit()
    assert sorted(it.stored) == ["seen:1:7", "seen:1:8", "seen:1:9"]
    again = Bench(copy)  # SQL's, with what had left
    assert not again.takes(B, 1, "news 15") and again.takes(B, 2, "news 13")
    again.takes(B, 3, "news 20")
    again.commit()
    assert len(again.stored) == 3


def test_what_is_switched_off_is_forgotten_and_what_lacks_a_chat_is_not() -> None:
    it = Bench()
    it.takes(A, 1)
    it.commit()
    it.use(incomplete=[1])
    assert it.commit()
    it.use(replace(ROUTE, options=Options()))
    assert not it.commit()
    it.use(ROUTE)
    assert it.takes(B, 2)


def test_what_is_not_forwarded_after_all_is_no_reason_to_leave_out_another_one() -> None:
    it = Bench()
    assert it.takes(A, 1) and it.takes(A, 2, "other news")
    it.commit()
    it.seen.forget(1, A, 1)
    it.seen.forget(1, B, 1)
    it.seen.forget(2, A, 2)
    assert it.takes(B, 7) and not it.takes(B, 8, "other news")
    again = Bench(it.commit())
    assert not again.takes(A, 1) and again.takes(B, 7) and again.takes(A, 2, "other news")
    again.seen.forget(1, A, 2)
    again.seen.forget(1, B, 7)
    assert not again.commit()


def test_what_a_clock_that_was_ahead_has_noted_is_a_duplicate_for_its_window_only() -> None:
    it = Bench()
    it.now += 86_400 * 365
    it.takes(A, 1)
    again = Bench(it.commit())
    assert again.takes(B, 2) and not again.takes(B, 3)


@pytest.mark.parametrize(
    ("outcome", "routes", "is_forgotten"),
    [
        (Outcome("sent", 5), (ROUTE,), False),
        (Outcome("known"), (ROUTE,), False),
        (Outcome("refused", reason="MEDIA_EMPTY"), (ROUTE,), True),
        (Outcome("refused", reason="MEDIA_EMPTY"), (ROUTE, OTHER), False),
        (Outcome("refused", dead=DeadReason.SOURCE_UNREADABLE), (ROUTE, OTHER), True),
        (Outcome("refused", reason="CHAT_FORWARDS_RESTRICTED"), (ROUTE, OTHER), True),
        (Outcome("known", dead=DeadReason.MESSAGE_GONE), (ROUTE, OTHER), True),
        (DROPPED, (ROUTE,), True),
    ],
)
def test_the_content_of_what_no_destination_can_have_got_is_forgotten(
    outcome: Outcome, routes: tuple[Route, ...], is_forgotten: bool
) -> None:
    it = Bench()
    it.takes(A, 1)
    delivery = Reference(1, "copy", A, 1).delivery(TO)
    note_settled(it.seen, {A: routes}, delivery, outcome)
    assert bool(it.takes(B, 2)) is is_forgotten


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("seen:1", "AAAA"),
        ("seen:x:1", "AAAA"),
        ("seen:1:1", "no base64"),
        ("seen:1:1", "AAAA"),
        ("seen:1:1", ""),
        ("seen:1:1", "A" * 28 * 65),
    ],
)
def test_malformed_contents_are_refused(name: str, text: str) -> None:
    with pytest.raises(MalformedPositionError):
        Bench({name: text})


def test_a_content_is_its_text_its_hidden_links_and_its_file() -> None:
    def digest(text: str, *urls: str, media: Any = None) -> bytes | None:
        entities = tuple(types.MessageEntityTextUrl(0, 1, it) for it in urls)
        raw = types.Message(1, types.PeerChannel(5), None, text, media=media)
        return content_digest(Incoming(A, 1, text, entities, media is not None, raw))

    def photo(number: int) -> Any:
        return types.MessageMediaPhoto(photo=types.Photo(number, 0, b"", None, [], 2))

    page = types.MessageMediaWebPage(types.WebPageEmpty(1))
    dice = types.MessageMediaDice(3, "🎲")
    assert digest("a  b\n") == digest("a b") == digest("a b", media=page)
    assert digest("a") != digest("b") and digest("a", "x.example") != digest("a", "y.example")
    assert digest("a", media=photo(1)) == digest("a", media=photo(1)) != digest("a")
    assert digest("", media=photo(1)) != digest("", media=photo(2))
    assert digest("") is None and digest("a", media=dice) is None


def test_what_two_sources_post_is_forwarded_once_also_after_a_crash_and_a_move() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, a, to = one_rule(sandbox)
        b = sandbox.channel(account)
        rule = ((a, b), to, "copy", OPTIONS)
        stores = []

        async def store(session: Any) -> bool:
            harness.commit(session)
            session.note_committed()
            stores.append(session)
            return True

        harness.store = store
        session = harness.session(account, rule)
        await session.start()
        harness.commit(session)
        session.note_committed()
        say(sandbox, a, "one")
        await until(lambda: texts(to) == ["one"])
        assert stores, "what it is the same as is stored before it is sent"
        say(sandbox, b, "one", "two")
        await until(lambda: texts(to) == ["one", "two"])
        await session.stop()  # and its last commit is lost
        say(sandbox, a, "two")
        session = harness.session(account, rule, cursors=dict(harness.progress))
        await session.start()
        say(sandbox, b, "one", "three")
        await until(lambda: "three" in texts(to))
        say(sandbox, a, "three", "four")
        await until(lambda: "four" in texts(to))
        assert texts(to) == ["one", "two", "three", "four"]
        await session.stop()
        harness.commit(session)
        assert not harness.dead

    run_scenario(scenario)


def test_a_refused_or_deleted_message_does_not_hide_the_next_one_of_the_same_content(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, a, to = one_rule(sandbox)
        b, late = sandbox.channel(account), sandbox.channel(posters=(account,))
        delayed = {"options": {"dedupe": 3_600, "delay": 3_600}}
        rules = ((a, b), to, "copy", OPTIONS), ((a, b), late, "copy", delayed)
        RefusingHandler(monkeypatch, functions.messages.SendMessageRequest, (400, "MEDIA_EMPTY"))
        session = harness.session(account, *rules)
        await session.start()
        say(sandbox, a, "one")
        await settled(session, a)
        await until(lambda: bool(harness.troubles))
        delete(sandbox.server, a.marked, 0, [1])
        await settled(session, a)
        say(sandbox, b, "one")
        await until(lambda: texts(to) == ["one"])
        await settled(session, b)
        # The refused one is tried again, and is a duplicate by now.
        say(sandbox, a, "one", "two")
        await until(lambda: texts(to) == ["one", "two"])
        assert await session.redeliver(1, a.marked, to.marked, [2])
        await settled(session, a)
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        assert texts(to) == ["one", "two"]
        queue = session.forwarder.later.waiting_for(late.marked)
        assert [(it.source, it.message) for it in queue] == [
            (a.marked, 1),
            (b.marked, 1),
            (a.marked, 3),
        ]
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("destinations", [1, 2])
def test_what_is_deleted_while_it_waits_in_an_outbox_does_not_hide_the_same_content(
    destinations: int,
) -> None:
    """With two destinations, of which one has got it, the content was forwarded."""

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, a, to = one_rule(sandbox)
        closed = sandbox.channel(posters=(account,))
        session = harness.session(account, (a, (closed, to)[:destinations], "copy", OPTIONS))
        await session.start()
        session.forwarder._lane(closed.marked).close("it takes no messages")
        say(sandbox, a, "one")
        await settled(session, a)
        if destinations == 2:
            await until(lambda: texts(to) == ["one"])
        delete(sandbox.server, a.marked, 0, [1])
        await settled(session, a)
        say(sandbox, a, "one")
        await settled(session, a)
        waiting = session.forwarder.outboxes.of(closed.marked).references()
        assert [it.message for it in waiting] == ([1, 2] if destinations == 1 else [1])
        await session.stop()

    run_scenario(scenario)


def test_what_is_being_sent_from_an_outbox_counts_as_sent() -> None:
    outbox = Outbox(TO)
    for number in (1, 2):
        outbox.append(Reference(1, "copy", A, number).delivery(TO))
    outbox.first(1)
    assert [outbox.holds(Reference(1, "copy", A, it).delivery(TO)) for it in (1, 2)] == [
        False,
        True,
    ]


def test_what_is_deleted_before_its_lane_has_sent_it_hides_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is taken out of the queue in memory, with its content."""

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, a, to = one_rule(sandbox)
        session = harness.session(account, (a, to, "copy", {**OPTIONS, "sync": ("deletes",)}))
        await session.start()
        say(sandbox, a, "before")  # what the first difference brings may have been sent
        await until(lambda: texts(to) == ["before"] and session.has_caught_up)
        session.pause()
        say(sandbox, a, "one")
        await until(lambda: len(session.forwarder._lane(to.marked)) == 1)
        delete(sandbox.server, a.marked, 0, [2])
        await settled(session, a)
        say(sandbox, a, "one")
        await until(lambda: len(session.forwarder._lane(to.marked)) == 1)
        session.resume()
        await until(lambda: texts(to) == ["before", "one"])
        await session.stop()
        harness.commit(session)
        assert not harness.dead

    run_scenario(scenario)
