"""Copies of live locations move, turn and stop as their messages do."""

from __future__ import annotations

from typing import Any

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, one_rule, say, texts
from telethon.tl import functions, types

from afx.sandbox.judge.flow import post
from afx.sandbox.telegram.boxes import Message
from afx.sandbox.telegram.changes import Place
from afx.sandbox.telegram.methods.input_media import Fixed
from afx.sandbox.telegram.peers import Channel

EDITS: dict[str, Any] = {"sync": ("edits",)}


def live(long: float, period: int = 900, heading: int = 90) -> Fixed:
    point = types.GeoPoint(long, 52.5, 0)
    return Fixed(types.MessageMediaGeoLive(point, period, heading=heading))


def first(channel: Channel) -> Message:
    return next(iter(channel.box.messages.values()))


def move(sandbox: SandboxHarness, source: Channel, media: Fixed) -> None:
    message = first(source)
    place = Place(sandbox.server.world, sandbox.server.pushes, source, 0)
    place.edit(message, message.content._replace(media=media))


def shown(channel: Channel) -> tuple[float, int, int]:
    media: Any = first(channel).media
    return media.view().geo.long, media.view().period, media.view().heading


def test_a_live_location_is_followed_also_by_a_later_run_until_it_stops() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", EDITS))
        await session.start()
        post(sandbox.server, source.marked, 0, "", media=live(1.0))
        await until(lambda: to.box.messages)
        assert first(to).copied_from is None
        move(sandbox, source, live(2.0, 1800, 180))
        await until(lambda: shown(to) == (2.0, 1800, 180))
        await session.stop()
        again = harness.session(
            account, (source, to, "copy", EDITS), cursors=harness.commit(session)
        )
        move(sandbox, source, live(3.0, 1800))
        await again.start()
        await until(lambda: shown(to) == (3.0, 1800, 90))
        move(sandbox, source, live(3.0, 1))
        await until(lambda: shown(to)[1] < 60)
        move(sandbox, source, live(4.0, 1))
        say(sandbox, source, "last")
        await until(lambda: "last" in texts(to))
        await again.stop()
        harness.commit(again)
        assert shown(to)[0] == 3.0
        assert len(to.box.messages) == 2

    run_scenario(scenario)


def test_without_edits_it_is_sent_on_and_one_that_has_stopped_is_not_begun_anew() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        other = sandbox.channel(posters=(account,))
        rules = (source, to, "copy"), (source, other, "copy", EDITS)
        session = harness.session(account, *rules)
        await session.start()
        await session.stop()
        cursors = harness.commit(session)
        post(sandbox.server, source.marked, 0, "", media=live(1.0))
        move(sandbox, source, live(1.0, 1))
        again = harness.session(account, *rules, cursors=cursors)
        await again.start()
        await until(lambda: to.box.messages and other.box.messages)
        assert first(to).copied_from and first(other).copied_from
        assert not harness.dead and not harness.troubles
        await again.stop()

    run_scenario(scenario)


def test_a_reaction_to_a_place_that_does_not_move_edits_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    edits = RefusingHandler(monkeypatch, functions.messages.EditMessageRequest)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", EDITS))
        await session.start()
        point = types.MessageMediaGeo(types.GeoPoint(1.0, 2.0, 0))
        post(sandbox.server, source.marked, 0, "", media=Fixed(point))
        await until(lambda: to.box.messages)
        move(sandbox, source, Fixed(point))
        say(sandbox, source, "last")
        await until(lambda: "last" in texts(to))
        assert not edits.requests
        assert not harness.dead and not harness.troubles
        await session.stop()

    run_scenario(scenario)
