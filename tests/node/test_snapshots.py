"""A rule may send what is deleted before it is sent: the content is stored as it comes."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import pytest
from support.following import settled
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import SessionHarness, one_rule, say, texts
from telethon.tl import types

from afx.coordinator.checkpoints import _FIELD
from afx.forwarding.options import Options, sentences
from afx.forwarding.pipeline import Incoming
from afx.forwarding.rules import Route
from afx.node import snapshots
from afx.node.references import Reference
from afx.node.session import HostedSession
from afx.node.snapshots import Snapshots, keeps_content
from afx.reasons import DeadReason, TroubleReason
from afx.sandbox.judge.flow import delete, edit
from afx.sandbox.telegram.peers import Account, Channel
from afx.security.vault import Vault
from afx.telegram.session import MalformedPositionError

VAULT = Vault(["k" * 40])
SOURCE, TO = -1_000_000_000_005, -1_000_000_000_006
DELAYED = {"options": {"snapshot": True, "delay": 3_600}}


def kept_rule(sandbox: SandboxHarness) -> tuple[SessionHarness, Account, Channel, Channel]:
    harness, account, source, to = one_rule(sandbox)
    harness.sealer = VAULT
    return harness, account, source, to


def put(sandbox: SandboxHarness, source: Channel, text: str, **fields: Any) -> int:
    message, event = sandbox.server.world.post(source, 0, text, **fields)
    sandbox.server.pushes.channel_event(source, event, message)
    return message.id


def photo(sandbox: SandboxHarness, name: str) -> Any:
    return sandbox.server.world.files.add(name.encode(), is_photo=True)


def ahead(harness: SessionHarness) -> None:
    clock = harness.clock
    harness.clock = replace(clock, time=lambda: clock.time() + 3_601.0)


def kept(stored: dict[str, str]) -> list[str]:
    return [it for it in stored if it.startswith("snap:")]


def test_what_is_deleted_before_it_is_due_is_sent_as_it_came_also_after_a_restart() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = kept_rule(sandbox)
        more = {**DELAYED, "transform": ({"footer": "x"},)}
        session = harness.session(account, (source, to, "copy", more))
        await session.start()
        bold = [types.MessageEntityBold(0, 3)]
        put(sandbox, source, "one", entities=bold)
        put(sandbox, source, "two", media=photo(sandbox, "p"))
        say(sandbox, source, "three", "four")
        edit(sandbox.server, source.marked, 0, 3, "tres")
        await settled(session, source)
        await session.stop()
        stored = harness.commit(session)
        assert len(kept(stored)) == 4
        assert all(_FIELD.fullmatch(f"{it}={stored[it]}") for it in kept(stored))
        assert "one" not in str(stored), "it is sealed"
        delete(sandbox.server, source.marked, 0, [1, 2, 4])
        ahead(harness)
        session = harness.session(account, (source, to, "copy", more), cursors=stored)
        await session.start()
        await until(lambda: len(texts(to)) == 4)
        assert texts(to) == ["one\nx", "two\nx", "tres\nx", "four\nx"]
        first, second, *_ = to.box.messages.values()
        assert first.entities[0].length == 3 and second.media is not None
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        await session.stop()
        assert not kept(harness.commit(session)) and not harness.dead

    run_scenario(scenario)


def test_without_the_option_it_is_not_sent_and_nothing_is_stored() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = kept_rule(sandbox)
        session = harness.session(account, (source, to, "copy", {"options": {"delay": 3_600}}))
        await session.start()
        say(sandbox, source, "one", "two")
        delete(sandbox.server, source.marked, 0, [1])
        await settled(session, source)
        assert not kept(harness.commit(session))
        ahead(harness)
        session.forwarder.later._now = harness.clock.time
        session.forwarder.later._turn()
        await until(lambda: texts(to) == ["two"])
        await session.stop()

    run_scenario(scenario)


def test_what_is_deleted_between_its_commit_and_its_send_arrives_once_after_a_crash() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = kept_rule(sandbox)
        rule = (source, to, "copy", {"options": {"snapshot": True}})
        session = harness.session(account, rule)
        await session.start()
        to.posters.clear()
        say(sandbox, source, "one", "two", "three")
        await settled(session, source)
        await until(lambda: session.rule_troubles)
        stored = harness.commit(session)
        await session.stop()  # what it does from here on is not stored
        delete(sandbox.server, source.marked, 0, [1, 3])
        to.posters.add(account.id)
        for _ in range(2):
            await replayed(harness.session(account, rule, cursors=stored), to)
            assert texts(to) == ["one", "two", "three"]
        assert not harness.dead

    run_scenario(scenario)


async def replayed(session: HostedSession, to: Channel) -> None:
    await session.start()
    await until(lambda: not session.forwarder.outboxes.has(to.marked))
    await session.stop()
    fields = session.collect_uncommitted().cursor
    assert {it for it in fields[::2] if it.startswith("snap:")}, "they are removed"


@pytest.mark.parametrize("gone", [[1], [2], [1, 2]])
def test_an_album_of_which_items_are_deleted_arrives_whole(gone: list[int]) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = kept_rule(sandbox)
        session = harness.session(account, (source, to, "copy", DELAYED))
        await session.start()
        for name in ("a", "b"):
            put(sandbox, source, name, media=photo(sandbox, name), grouped=7)
        put(sandbox, source, "last")
        await settled(session, source)
        delete(sandbox.server, source.marked, 0, gone)
        await settled(session, source)
        ahead(harness)
        session.forwarder.later._now = harness.clock.time
        session.forwarder.later._turn()
        await until(lambda: texts(to) == ["a", "b", "last"])
        assert len({it.grouped for it in to.box.messages.values() if it.media}) == 1
        await session.stop()
        harness.commit(session)
        assert not harness.dead

    run_scenario(scenario)


def test_what_cannot_be_sent_without_its_source_is_a_dead_letter() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = kept_rule(sandbox)
        session = harness.session(account, (source, to, "copy", DELAYED))
        await session.start()
        put(sandbox, source, "", media=sandbox_contact())
        put(sandbox, source, "last")
        await settled(session, source)
        delete(sandbox.server, source.marked, 0, [1])
        await settled(session, source)
        ahead(harness)
        session.forwarder.later._now = harness.clock.time
        session.forwarder.later._turn()
        await until(lambda: texts(to) == ["last"])
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        await session.stop()
        assert not kept(harness.commit(session))
        assert [(it.reason, it.messages) for it in harness.dead] == [
            (DeadReason.MESSAGE_GONE, (1,))
        ]

    run_scenario(scenario)


def sandbox_contact() -> Any:
    from afx.sandbox.telegram.methods.input_media import Fixed

    return Fixed(types.MessageMediaContact("4930", "Ada", "Lovelace", "", 0))


def test_a_filter_that_reads_anew_judges_what_is_gone_by_what_it_was() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = kept_rule(sandbox)
        options = {"snapshot": True, "reread": 3_600}
        more = {"filter": {"contains": ["good"]}, "options": options}
        session = harness.session(account, (source, to, "copy", more))
        await session.start()
        say(sandbox, source, "good 1", "bad 2", "good 3")
        await settled(session, source)
        delete(sandbox.server, source.marked, 0, [1, 2])
        edit(sandbox.server, source.marked, 0, 3, "bad 3")
        await settled(session, source)
        ahead(harness)
        session.forwarder.later._now = harness.clock.time
        session.forwarder.later._turn()
        await until(lambda: not session.forwarder.later.next_due())
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        assert texts(to) == ["good 1"]
        await session.stop()
        assert not kept(harness.commit(session)) and not harness.dead

    run_scenario(scenario)


def test_several_destinations_share_a_content_and_the_last_one_removes_it() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = kept_rule(sandbox)
        other = sandbox.channel(account)
        rule = (source, (to, other), "copy", {"options": {"snapshot": True}})
        session = harness.session(account, rule)
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"] and bool(session.rule_troubles))
        assert len(kept(harness.commit(session))) == 1
        delete(sandbox.server, source.marked, 0, [1])
        await settled(session, source)
        other.posters.add(account.id)
        session.forwarder.try_again(other.marked)
        await until(lambda: texts(other) == ["one"])
        await until(lambda: not session.forwarder.outboxes.has(other.marked))
        assert not kept(harness.commit(session))
        await session.stop()

    run_scenario(scenario)


# --- the store by itself -------------------------------------------------------------------


class Owner:
    def __init__(self) -> None:
        self.troubles: list[TroubleReason] = []

    def trouble(self, reason: TroubleReason, _: str) -> None:
        self.troubles.append(reason)


def message(number: int, text: str = "text") -> Incoming:
    raw = types.Message(number, types.PeerChannel(5), None, text)
    return Incoming(SOURCE, number, text, (), False, raw)


def reference(number: int, rule: int = 1) -> Reference:
    return Reference(rule, "copy", SOURCE, number)


def fields_of(it: Snapshots) -> dict[str, str]:
    taken = it.take_fields()
    return dict(zip(taken[::2], taken[1::2], strict=True))


def test_only_what_waits_is_loaded_and_the_rest_is_removed() -> None:
    it = Snapshots(1, VAULT, Owner())
    for number in (1, 2):
        it.keep(message(number), reference(number).delivery(TO))
    stored = fields_of(it)
    assert not fields_of(it)
    it.put_back()
    assert fields_of(it) == {}, "nothing was taken since"
    again = Snapshots(1, VAULT, Owner())
    again.load(dict(stored), [(TO, reference(1)), (TO, reference(2)._replace(op="delete"))])
    found = again.find(SOURCE, 1)
    assert found is not None and found.text == "text" and again.find(SOURCE, 2) is None
    assert fields_of(again) == {f"snap:{SOURCE}:2": ""}
    again.mark_all()
    assert fields_of(again) == {f"snap:{SOURCE}:1": stored[f"snap:{SOURCE}:1"]}
    again.settled(reference(1).delivery(TO))
    assert fields_of(again) == {f"snap:{SOURCE}:1": ""}
    again.put_back()
    assert fields_of(again) == {f"snap:{SOURCE}:1": ""}


def test_a_content_of_another_session_or_key_or_one_that_is_changed_is_none() -> None:
    it = Snapshots(1, VAULT, Owner())
    it.keep(message(1), reference(1).delivery(TO))
    stored = fields_of(it)
    name = f"snap:{SOURCE}:1"
    moved = {f"snap:{SOURCE}:2": stored[name]}
    for session, sealer, fields, number in (
        (2, VAULT, stored, 1),
        (1, Vault(["o" * 40]), stored, 1),
        (1, VAULT, {name: stored[name][:-8] + "AAAAAAA="}, 1),
        (1, VAULT, moved, 2),
        (1, VAULT, {name: VAULT.seal_snapshot(b"no zlib", session_id=1)}, 1),
    ):
        again = Snapshots(session, sealer, Owner())
        again.load(dict(fields), [(TO, reference(number))])
        assert again.find(SOURCE, number) is None
    for fields in ({"snap:x:1": "1.a.b"}, {name: "ä"}, {name: ""}, {f"{name}:2": "1.a.b"}):
        with pytest.raises(MalformedPositionError):
            Snapshots(1, VAULT, Owner()).load(fields, [])


@pytest.mark.parametrize("constructor", [b"\x01\x02\x03\x04", b"\x15\xc4\xb5\x1c", b""])
def test_a_content_that_this_version_cannot_read_is_none_and_is_not_logged(
    constructor: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    sealed = VAULT.seal_snapshot(zlib.compress(constructor + b"secret text" * 9), session_id=1)
    it = Snapshots(1, VAULT, Owner())
    it.load({f"snap:{SOURCE}:1": sealed}, [(TO, reference(1))])
    assert it.find(SOURCE, 1) is None
    assert "secret" not in "".join(capsys.readouterr())


def test_a_content_that_cannot_be_stored_is_not_kept_and_holds_up_nothing() -> None:
    it = Snapshots(1, VAULT, Owner())
    it.keep(Incoming(SOURCE, 1, "text", (), False, object()), reference(1).delivery(TO))
    assert it.find(SOURCE, 1) is None and not it.take_fields()


def test_the_number_of_contents_is_bounded_and_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_MOST", 2)
    owner = Owner()
    it = Snapshots(1, VAULT, owner)
    for number in range(1, 5):
        it.keep(message(number), reference(number).delivery(TO))
    assert owner.troubles == [TroubleReason.STORAGE_FULL]
    assert it.find(SOURCE, 2) and not it.find(SOURCE, 3)
    it.keep(message(1), reference(1, rule=2).delivery(TO))
    it.settled(reference(1).delivery(TO))
    assert it.find(SOURCE, 1), "another rule needs it"
    it.settled(reference(1, rule=2).delivery(TO))
    it.keep(message(5), reference(5).delivery(TO))
    assert it.find(SOURCE, 5) and not it.find(SOURCE, 1)


def test_a_rule_that_forwards_or_follows_deletes_keeps_none() -> None:
    options = Options(snapshot=True)
    assert keeps_content(Route(1, TO, "copy", options=options))
    assert not keeps_content(Route(1, TO, "copy", options=options, sync=("deletes",)))
    assert not keeps_content(Route(1, TO, "forward", options=options))
    assert not keeps_content(Route(1, TO, "copy"))
    assert "deleted before" in sentences({"snapshot": True})[0]
