"""How rules name topics of forums."""

from __future__ import annotations

import pytest
from telethon.tl import types

from afx.errors import InputFileError, UsageError
from afx.forwarding.graph import edges_of, warnings
from afx.forwarding.rulefile import parse
from afx.forwarding.rules import ResolvedRule, chat_reference, compile_routes, in_topic
from afx.forwarding.topics import chat_of, message_topic, shown_topic, topic_of, twice_named


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("@the_forum/5", "@the_forum/5"),
        ("t.me/the_forum/5", "@the_forum/5"),
        ("https://t.me/the_forum/1", "@the_forum/1"),
        ("https://t.me/c/1234567890/5", "-1001234567890/5"),
        ("t.me/c/12345/5", "-1000000012345/5"),
        (" -1001234567890/2147483647 ", "-1001234567890/2147483647"),
    ],
)
def test_a_topic_is_named_by_its_chat_and_number(text: str, stored: str) -> None:
    assert chat_reference(text) == stored == chat_reference(stored)
    assert f"{chat_of(stored)}/{topic_of(stored)}" == stored


@pytest.mark.parametrize(
    "text",
    [
        *("@the_forum/0", "@the_forum/", "@the_forum/5/7", "@the_forum/x", "@the_forum/2147483648"),
        *("-5/3", "123/5", "t.me/c/5", "@the_forum/-1", "/5", "@the_forum/05", "@the_forum/٥"),
    ],
)
def test_what_is_no_topic_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        chat_reference(text)


def test_chats_and_outputs_have_no_topic() -> None:
    for text in ("@news", "-1005", "webhook:https://example.org/5", "file:a/5.jsonl"):
        assert (chat_of(text), topic_of(text), shown_topic(text)) == (text, 0, text)
    assert shown_topic("@news/1") == "General of @news"
    assert shown_topic("@news/7") == "topic 7 of @news"


def test_a_rule_names_each_forum_once_as_a_destination() -> None:
    assert twice_named(["@news/5", "@talk/5", "@other", "@other"]) == ""
    assert twice_named(["@news/5", "@NEWS/7"]) == "@NEWS"
    assert twice_named(["@news/5", "@news"]) == "@news"
    assert twice_named(["@news/5", "-1005"], {"@news/5": -5, "-1005": -5}) == "-1005"
    assert twice_named(["@news", "-1005"], {"@news": -5, "-1005": -5}) == ""
    text = "rules: [{session: a, name: b, from: '@news', to: ['@talk/1', '@talk/2']}]"
    with pytest.raises(InputFileError, match="a rule for each topic"):
        parse(text.encode(), "rules.yaml")


def header(**fields: object) -> types.Message:
    reply = types.MessageReplyHeader(**fields)  # type: ignore[arg-type]
    return types.Message(9, types.PeerChannel(1), None, "", reply_to=reply)


@pytest.mark.parametrize(
    ("message", "topic"),
    [
        (types.Message(9, types.PeerChannel(1), None, ""), 1),
        (header(reply_to_msg_id=4), 1),
        (header(reply_to_msg_id=4, reply_to_top_id=3), 1),
        (header(forum_topic=True, reply_to_msg_id=4), 4),
        (header(forum_topic=True, reply_to_msg_id=8, reply_to_top_id=4), 4),
        (None, 1),
    ],
)
def test_the_header_of_a_message_tells_its_topic(message: object, topic: int) -> None:
    assert message_topic(message) == topic


def test_a_route_takes_the_topics_of_its_source_and_a_whole_chat_takes_all() -> None:
    rules = [
        ResolvedRule(1, (-5,), (-6,), "copy", source_topics={-5: frozenset({4, 7})}),
        ResolvedRule(2, (-5,), (-6,), "copy"),
        ResolvedRule(3, (-5,), (-5,), "copy", source_topics={-5: frozenset({4})}, topics={-5: 7}),
        ResolvedRule(4, (-5,), (-5,), "copy", source_topics={-5: frozenset({7})}, topics={-5: 7}),
        ResolvedRule(5, (-5,), (-5,), "copy", topics={-5: 7}),
    ]
    routes = compile_routes(rules)[-5]
    assert [(it.rule, it.topic) for it in routes] == [(1, 0), (2, 0), (3, 7)]
    for topic, wanted in ((4, [1, 2, 3]), (7, [1, 2]), (8, [2])):
        message = header(forum_topic=True, reply_to_msg_id=topic)
        assert [it.rule for it in in_topic(message, routes)] == wanted


def test_a_way_round_through_a_topic_is_found_and_one_between_topics_is_none() -> None:
    edges = [*edges_of("a", ["@f"], ["@x"], {}), *edges_of("b", ["@x"], ["@f/5"], {})]
    [found] = warnings(edges, {"a"})
    assert found.startswith("@f → @x → @f/5 is a way round (rules a, b)")
    assert len(warnings(edges, {"b"})) == 1
    edges = [*edges_of("a", ["@f/5"], ["@f/7"], {}), *edges_of("b", ["@f/7"], ["@f/8"], {})]
    assert not warnings(edges, {"a", "b"})
