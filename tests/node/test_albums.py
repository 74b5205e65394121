"""Albums are judged as one message, whatever dies in their middle."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, SessionHarness, one_rule, say, texts
from telethon import errors
from telethon.tl import functions, types

from afx.forwarding.albums import AlbumCaptions
from afx.forwarding.facts import Facts
from afx.forwarding.pipeline import Incoming
from afx.forwarding.rules import Route
from afx.node.filter_judge import FilterJudge
from afx.reasons import DeadReason
from afx.sandbox.telegram.peers import Channel

READ = functions.channels.GetMessagesRequest


def publish(sandbox: SandboxHarness, source: Channel, album: int, *captions: str) -> None:
    """Post the items of an album with these captions."""
    world = sandbox.server.world
    for number, caption in enumerate(captions):
        media = world.files.add(f"{album} {number} {caption}".encode(), is_photo=True)
        message, event = world.post(source, 0, caption, media=media, grouped=album)
        sandbox.server.pushes.channel_event(source, event, message)


def restarted(harness: SessionHarness, account: Any, *rule: Any) -> Any:
    return harness.session(account, rule, cursors=harness.progress)


def item(number: int, text: str = "", album: int = 5) -> Facts:
    made = Facts(text, id=number, chat=-7)
    made.album = album
    return made


def test_an_album_that_a_restart_cuts_is_judged_as_before() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = (source, to, "copy", {"filter": {"contains": ["yes"]}})
        session = harness.session(account, rule)
        await session.start()
        publish(sandbox, source, 5, "no", "")
        publish(sandbox, source, 6, "yes", "")
        await until(lambda: texts(to) == ["yes", ""])
        await session.stop()
        harness.commit(session)
        publish(sandbox, source, 6, "", "")
        session = restarted(harness, account, *rule)
        await session.start()
        await until(lambda: len(texts(to)) == 4)
        publish(sandbox, source, 7, "no", "")
        say(sandbox, source, "yes to the end")
        await until(lambda: "yes to the end" in texts(to))
        await session.stop()
        harness.commit(session)
        publish(sandbox, source, 8, "no")
        session = restarted(harness, account, *rule)
        await session.start()
        await until(lambda: session.reader.channels[source.id].cursor == source.box.pts)
        await session.stop()
        harness.commit(session)
        publish(sandbox, source, 8, "", "")
        session = restarted(harness, account, *rule)
        await session.start()
        say(sandbox, source, "yes again")
        await until(lambda: "yes again" in texts(to))
        assert texts(to) == ["yes", "", "", "", "yes to the end", "yes again"]
        await session.stop()

    run_scenario(scenario)


def test_items_before_the_caption_are_judged_by_it() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", {"filter": {"contains": ["yes"]}}))
        publish(sandbox, source, 4, "")
        await session.start()
        publish(sandbox, source, 5, "", "", "yes", "")
        publish(sandbox, source, 6, "", "no")
        say(sandbox, source, "yes at last")
        await until(lambda: "yes at last" in texts(to))
        assert texts(to) == ["", "", "yes", "", "yes at last"]
        await session.stop()

    run_scenario(scenario)


def test_a_wait_for_the_album_keeps_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", {"filter": {"contains": ["yes"]}}))
        await session.start()
        asked = RefusingHandler(monkeypatch, READ, (420, "FLOOD_WAIT_1"))
        publish(sandbox, source, 5, "", "yes")
        say(sandbox, source, "yes, too")
        await until(lambda: texts(to) == ["", "yes", "yes, too"])
        assert len(asked.requests) <= 2
        await session.stop()

    run_scenario(scenario)


def test_an_album_that_cannot_be_read_is_a_dead_letter_and_not_torn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", {"filter": {"contains": ["yes"]}}))
        await session.start()
        RefusingHandler(monkeypatch, READ, (400, "MSG_ID_INVALID"))
        publish(sandbox, source, 5, "")
        say(sandbox, source, "yes")
        await until(lambda: texts(to) == ["yes"])
        await session.stop()
        harness.commit(session)
        assert [(it.reason, it.messages) for it in harness.dead] == [(DeadReason.NOT_JUDGED, (1,))]
        assert any("its album cannot be read: MSG_ID_INVALID" in it for it in harness.troubles)

    run_scenario(scenario)


class Judged:
    """A judge of a source that fails, and a clock that its waits move on."""

    def __init__(self, name: str, code: int) -> None:
        self.error = errors.RPCError(None, name, code)
        self.reads, self.now, self.until = 0, 0.0, float("inf")
        self.gives_items = False
        """It gives one message at once, and no more."""
        self.troubles: list[str] = []
        self._judge = FilterJudge(
            cast("Any", self),
            lambda _, text: self.troubles.append(text),
            lambda: self.now,
            self.wait,
        )

    async def wait(self, seconds: float) -> None:
        self.now += seconds

    async def fetch(self, chat: int, ids: Sequence[int]) -> list[Any]:
        self.reads += 1
        if self.now < self.until and not (self.gives_items and len(ids) == 1):
            raise self.error
        return []

    async def judge(self, number: int, album: int) -> list[str | None]:
        found = await self._judge.judge_later(photo(number, album), ROUTES)
        return [it.unjudged for it in found]


@pytest.mark.parametrize(
    ("name", "code"), [("RPC_CALL_FAIL", 500), ("Timeout", -503), ("CONNECTION_NOT_INITED", 400)]
)
def test_an_outage_of_telegram_costs_albums_time_and_is_reported_once(name: str, code: int) -> None:
    async def scenario() -> None:
        bench = Judged(name, code)
        bench.until = 600.0
        assert await bench.judge(1, 5) == [""], "the filter takes none without its caption"
        assert bench.now >= 600
        assert len(bench.troubles) == 1 and "-7 waits" in bench.troubles[0]
        assert await bench.judge(100, 6) == [""]
        assert bench.troubles[1:] == []

    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_an_album_on_which_telegram_errs_for_ever_holds_its_source_for_some_minutes() -> None:
    async def scenario() -> None:
        bench, failed = (
            Judged("RPC_CALL_FAIL", 500),
            ["its album cannot be read: RPC_CALL_FAIL", ""],
        )
        bench.gives_items = True
        assert await bench.judge(1, 5) == failed
        assert 120 < bench.now < 600
        before = bench.now
        assert await bench.judge(100, 6) == failed
        assert bench.now - before < 60, "the next album is tried once, in a while"
        bench.gives_items, bench.until = False, bench.now + 3_600
        assert await bench.judge(200, 7) == [""], "an outage costs time"

    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_an_album_that_keeps_being_refused_is_given_up_and_its_source_goes_on() -> None:
    """No table names the error: it may pass, and it may not."""

    async def scenario() -> None:
        bench, refused = Judged("ODD_REFUSAL", 402), ["its album cannot be read: ODD_REFUSAL", ""]
        assert await bench.judge(1, 5) == refused
        assert bench.reads == 8 and bench.now == 91
        assert await bench.judge(2, 5) == refused
        assert bench.reads == 8, "its other items are not asked for, and it is not torn"
        assert await bench.judge(100, 6) == refused
        assert bench.reads == 9 and bench.now == 101, "the next album is tried once, in a while"
        bench.until = 0.0
        assert await bench.judge(200, 7) == [""]
        bench.until = float("inf")
        before = bench.reads
        assert await bench.judge(300, 8) == refused
        assert bench.reads == before + 8, "it has worked since"

    asyncio.run(asyncio.wait_for(scenario(), 30))


def photo(number: int, album: int = 5) -> Incoming:
    """Return an item without a caption."""
    raw = types.Message(number, types.PeerChannel(7), None, "", grouped_id=album)
    return Incoming(-7, number, "", (), True, raw)


ROUTES = (Route(1, -8, "copy", lambda it: "yes" in it.text), Route(2, -8, "copy"))


def test_an_item_has_the_caption_of_the_nearest_item_before_it_or_the_first_behind() -> None:
    it = AlbumCaptions()
    assert it.judged(item(4)) is None
    it.learn(item(4), [item(6, "late"), item(3, "near"), item(2, "far"), item(1, "x", album=4)])
    found = it.judged(item(5))
    assert found and found.text == "near"
    it.learn(item(4), [item(7, "last"), item(6, "late"), item(4)])
    found = it.judged(item(4))
    assert found and found.text == "late"
    it.learn(item(9, album=6), [])
    found = it.judged(item(9, album=6))
    assert found and found.text == ""
