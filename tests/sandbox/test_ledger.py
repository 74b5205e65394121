"""What the judge counts, over messages that are put into the world directly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from afx.sandbox.judge.ledger import Ledger
from afx.sandbox.telegram.peers import Account, Channel
from afx.sandbox.telegram.world import World


@dataclass(slots=True)
class Scene:
    """One account that copies from one channel to another."""

    world: World
    ledger: Ledger
    account: Account
    source: Channel
    to: Channel

    def post(self, *texts: str) -> None:
        for text in texts:
            self.world.post(self.source, 0, text)

    def copy(self, *texts: str) -> None:
        for text in texts:
            sent = self.world.sent
            self.world.post(self.to, self.account.id, text, random_id=sent)

    def expect(self) -> None:
        self.ledger.expect(self.source.marked, self.to.marked, self.account.id)


@pytest.fixture
def scene() -> Scene:
    world = World()
    account = world.add_account()
    source = world.add_channel("source", members=[account.id])
    to = world.add_channel("copies", posters=[account.id])
    return Scene(world, Ledger(world, []), account, source, to)


def test_every_message_copied_once_in_order_is_a_clean_verdict(scene: Scene) -> None:
    scene.expect()
    scene.post("one", "two")
    scene.copy("one", "two")
    verdict = scene.ledger.judge()
    assert verdict.is_clean
    assert (verdict.published, verdict.expected, verdict.delivered) == (2, 2, 2)
    assert verdict.latency_ms.p99 is not None


@pytest.mark.parametrize(
    ("copies", "figure"),
    [
        (("one",), lambda it: it.lost),
        (("one", "two", "two"), lambda it: it.duplicated),
        (("two", "one"), lambda it: it.out_of_order),
    ],
    ids=["lost", "duplicated", "out of order"],
)
def test_damage_is_counted_by_its_kind(
    scene: Scene, copies: tuple[str, ...], figure: Callable[..., int]
) -> None:
    scene.expect()
    scene.post("one", "two")
    scene.copy(*copies)
    verdict = scene.ledger.judge()
    assert figure(verdict) == 1
    assert verdict.lost + verdict.duplicated + verdict.out_of_order == 1


def test_messages_from_before_the_promise_are_not_expected(scene: Scene) -> None:
    scene.post("old")
    scene.expect()
    scene.post("new")
    assert scene.ledger.judge().expected == 1


def test_a_message_that_two_routes_read_is_published_once(scene: Scene) -> None:
    scene.expect()
    scene.expect()
    scene.post("one")
    verdict = scene.ledger.judge()
    assert (verdict.published, verdict.expected) == (1, 2)


def test_missing_copies_are_named(scene: Scene) -> None:
    scene.expect()
    scene.post("one", "two")
    scene.copy("one")
    assert [it["text"] for it in scene.ledger.missing()] == ["two"]


def test_revoked_logins_count_without_any_route(scene: Scene) -> None:
    verdict = Ledger(scene.world, ["an overlap"]).judge()
    assert verdict.revoked == 1
    assert not verdict.is_clean


def test_posted_and_sent_messages_are_counted_without_any_route(scene: Scene) -> None:
    scene.post("one", "two")
    scene.copy("one")
    bob = scene.world.add_account()
    scene.world.deliver(bob, scene.account, "private", random_id=5)
    scene.world.deliver(bob, scene.account, "by the control channel")
    verdict = scene.ledger.judge()
    assert (verdict.posted, verdict.sent, verdict.expected) == (3, 2, 0)
