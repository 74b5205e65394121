"""A rule with ``dedupe: {near}`` forwards what is nearly the same once."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from support.following import settled
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import one_rule, say, texts
from telethon.tl import types

from afx.coordinator.checkpoints import _FIELD
from afx.forwarding.dedupe import Dedupe
from afx.forwarding.options import Options
from afx.forwarding.pipeline import Incoming
from afx.forwarding.rules import Route
from afx.node import near_contents
from afx.node.seen_contents import SeenContents
from afx.telegram.session import MalformedPositionError

A, B, TO = -1_000_000_000_005, -1_000_000_000_006, -1_000_000_000_007
ROUTE = Route(1, TO, "copy", options=Options(dedupe=Dedupe(60, 0.7)))
TEXT = "the market in Berlin closes for two weeks from Monday on"
LIKE = "The market in Berlin closes for two weeks, from Monday on, they say"
OTHER = "a market in Paris opens for three weeks from Friday on"


class Bench:
    """The contents of one session, what is stored of them, and the time."""

    def __init__(self, stored: dict[str, str] | None = None) -> None:
        self.now = 1_000.0
        self.stored: dict[str, str] = dict(stored or {})
        self.seen = SeenContents(lambda: self.now, lambda _: None)
        self.seen.load(dict(self.stored))
        self.use(ROUTE)

    def use(self, *routes: Route) -> None:
        self.seen.use_routes({A: routes, B: routes}, {})

    def takes(self, chat: int, number: int, text: str, media: Any = None) -> bool:
        message = Incoming(chat, number, text, (), False, SimpleNamespace(media=media))
        return bool(self.seen.fresh(message, (ROUTE,)))

    def commit(self) -> dict[str, str]:
        fields = self.seen.take_fields()
        self.stored.update(zip(fields[::2], fields[1::2], strict=True))
        self.stored = {it: text for it, text in self.stored.items() if text}
        assert all(_FIELD.fullmatch(f"{it}={text}") for it, text in self.stored.items())
        self.seen.note_committed()
        return self.stored


def test_what_is_nearly_the_same_is_a_duplicate_in_the_window_and_a_replay_is_none() -> None:
    it = Bench()
    assert it.takes(A, 1, TEXT) and not it.takes(B, 7, LIKE) and it.takes(B, 8, OTHER)
    assert it.takes(A, 1, TEXT), "it is replayed"
    assert not it.takes(B, 7, LIKE), "so is what was left out"
    it.now += 61
    assert it.takes(B, 9, LIKE)
    assert not it.takes(A, 2, TEXT)


def test_captions_are_compared_for_the_same_file_only() -> None:
    def photo(number: int) -> Any:
        empty = types.Photo(number, 0, b"", None, [], 1)
        return types.MessageMediaPhoto(photo=empty)

    it = Bench()
    assert (
        it.takes(A, 1, TEXT) and it.takes(A, 2, TEXT, photo(5)) and it.takes(A, 3, TEXT, photo(6))
    )
    assert not it.takes(B, 4, LIKE, photo(5)) and it.takes(B, 5, LIKE, photo(7))
    assert it.takes(B, 6, "", photo(8)) and not it.takes(B, 7, "", photo(8))
    assert it.takes(B, 8, "👍 👍") and not it.takes(B, 9, "👍  👍")


def test_texts_outlive_a_restart_and_a_commit_that_failed() -> None:
    it = Bench()
    it.takes(A, 1, TEXT)
    assert it.seen.is_unstored([1])
    it.seen.take_fields()
    it.seen.put_back()
    assert it.seen.is_unstored([1]) and not it.seen.is_unstored([2])
    again = Bench(it.commit())
    assert not it.seen.is_unstored([1])
    assert not again.takes(B, 2, LIKE)
    it.stored = {}
    it.seen.mark_all()
    assert not Bench(it.commit()).takes(B, 2, LIKE), "Redis had lost its data"


def test_what_was_not_forwarded_after_all_hides_nothing() -> None:
    it = Bench()
    it.takes(A, 1, TEXT)
    it.seen.forget(1, A, 1)
    assert it.takes(B, 2, LIKE)
    it.commit()
    it.use(replace(ROUTE, options=Options(dedupe=Dedupe(60))))
    assert not [name for name in it.commit() if name.startswith("near:")]


def test_memory_is_bounded_and_older_texts_leave_the_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(near_contents, "_CHUNK", 2)
    monkeypatch.setattr(near_contents, "_CHUNKS", 3)
    it = Bench()
    copy: dict[str, str] = {}
    for number in range(20):
        words = " ".join(f"n{number}w{place}" for place in range(9))
        assert it.takes(A, number + 1, words)
        copy |= it.commit()
    names = [name for name in it.stored if name.startswith("near:")]
    assert sorted(names) == ["near:1:7", "near:1:8", "near:1:9"]
    again = Bench(copy)  # SQL's, with what had left
    again.commit()
    assert len([name for name in again.stored if name.startswith("near:")]) == 3


@pytest.mark.parametrize("field", [("near:1:x", "AAAA"), ("near:1:1", "AAAA"), ("near:1:1", "?")])
def test_what_is_malformed_is_refused(field: tuple[str, str]) -> None:
    with pytest.raises(MalformedPositionError):
        Bench(dict([field]))


def test_a_session_forwards_nearly_the_same_of_two_sources_once_over_a_restart() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        other = sandbox.channel(account)
        options = {"options": {"dedupe": {"window": 3_600, "near": 0.7}}}
        rule = ((source, other), to, "copy", options)
        session = harness.session(account, rule)
        await session.start()
        say(sandbox, source, TEXT)
        await until(lambda: texts(to) == [TEXT])
        await settled(session, source)
        cursors = harness.commit(session)
        await session.stop()
        again = harness.session(account, rule, cursors=cursors)
        await again.start()
        say(sandbox, other, LIKE, OTHER)
        await until(lambda: texts(to) == [TEXT, OTHER])
        await settled(again, other)
        assert texts(to) == [TEXT, OTHER]
        await again.stop()

    run_scenario(scenario)
