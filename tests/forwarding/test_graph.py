"""Doubles and ways round among the rules of all sessions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from afx.forwarding.graph import Edge, edges_of, warnings


def rules(*them: tuple[str, str, str] | tuple[str, str, str, dict[str, Any]]) -> Iterator[Edge]:
    for name, source, to, *filters in them:
        yield from edges_of(name, source.split(), to.split(), filters[0] if filters else {})


def test_two_rules_between_the_same_chats_are_a_double() -> None:
    edges = list(
        rules(("s/a", "@news @more", "@to"), ("t/b", "@NEWS", "@To"), ("t/c", "@x", "@to"))
    )
    assert warnings(edges, {"t/b"}) == ["rules s/a, t/b forward the same messages of @news to @to"]
    assert warnings(edges, {"t/c"}) == []


def test_rules_with_filters_that_differ_may_share_the_work() -> None:
    one, two = {"media": ["photo"]}, {"media": ["video"]}
    assert not warnings(rules(("a", "@x", "@y", one), ("b", "@x", "@y", two)), {"a"})
    assert warnings(rules(("a", "@x", "@y", one), ("b", "@x", "@y", one)), {"a"})
    assert warnings(rules(("a", "@x", "@y", one), ("b", "@x", "@y")), {"a"})


def test_a_way_round_over_several_sessions_is_found_once() -> None:
    edges = list(
        rules(("s/a", "@one", "@two"), ("t/b", "@two", "@three"), ("u/c", "@three", "@one"))
    )
    [found] = warnings(edges, {"u/c", "s/a"})
    assert found.startswith("@one → @two → @three → @one is a way round (rules s/a, t/b, u/c)")
    assert warnings(edges[:2], {"s/a", "t/b"}) == []


def test_a_chat_that_is_its_own_destination_is_none() -> None:
    assert warnings(rules(("a", "@x", "@X @y")), {"a"}) == []


chats = st.sampled_from(["@a", "@b", "@c", "@d"])


@given(st.lists(st.tuples(st.integers(0, 5).map(str), chats, chats), max_size=8))
def test_a_changed_rule_is_warned_of_exactly_when_it_lies_on_a_way_round(made: Any) -> None:
    edges = list(rules(*made))
    reach: dict[str, set[str]] = {it: set() for it in ("@a", "@b", "@c", "@d")}
    for it in edges:
        reach[it.source].add(it.destination)
    for _ in range(4):
        reach = {it: them.union(*(reach[to] for to in them)) for it, them in reach.items()}
    for rule in {it.rule for it in edges}:
        wanted = any(it.source in reach[it.destination] for it in edges if it.rule == rule)
        assert any("way round" in it for it in warnings(edges, {rule})) == wanted


def test_many_rules_take_no_time() -> None:
    import time

    begin = time.process_time()
    edges = list(rules(*((f"s/{it}", f"@c{it}", f"@c{(it + 1) % 30_000}") for it in range(30_000))))
    assert len(warnings(edges, {"s/5"})) == 1
    assert time.process_time() - begin < 5


def test_each_session_has_saved_messages_of_its_own() -> None:
    edges = list(rules(("a/in", "@x", "me"), ("b/out", "me", "@x"), ("a/one", "+AbCdEfGhIj", "@y")))
    assert warnings(edges, {"a/in"}) == []
    assert edges[2].source == "+AbCdEfGhIj"
    edges += rules(("b/in", "@x", "me"))
    [found] = warnings(edges, {"b/in"})
    assert "b/in" in found and "a/in" not in found
