"""Each recipe of docs/forward.md is a valid rule file, and does what it says."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import SessionHarness, one_rule, say, texts
from telethon.tl import types

from afx.forwarding.rule_docs import RuleDoc
from afx.forwarding.rulefile import parse
from afx.forwarding.topics import topic_of
from afx.sandbox.judge.flow import delete, edit
from afx.sandbox.telegram.peers import Topic

PAGE = Path(__file__).parents[2] / "docs/forward.md"


def recipes() -> dict[str, RuleDoc]:
    """Return the rules of the page's examples, by name."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    rules = [rule for it in blocks for rule in parse(it.encode(), "forward.md")]
    assert len({it.name for it in rules}) == len(rules)
    return {it.name: it for it in rules}


RECIPES = recipes()


@dataclass
class Post:
    """A message, and what becomes of it: the copy's text, the same one, or none."""

    text: str
    copy: str | bool | None = True
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def wanted(self) -> str | None:
        if isinstance(self.copy, bool):
            return self.text if self.copy else None
        return self.copy


def tag(offset: int, length: int) -> dict[str, Any]:
    return {"entities": [types.MessageEntityHashtag(offset, length)]}


def link(offset: int, length: int) -> dict[str, Any]:
    return {"entities": [types.MessageEntityUrl(offset, length)]}


def marked(*parts: str) -> dict[str, Any]:
    return {"marked": parts}


def at(*moment: int) -> dict[str, Any]:
    return {"date": int(datetime(*moment, tzinfo=UTC).timestamp())}  # type: ignore[misc,arg-type]


BUTTONS = types.ReplyInlineMarkup(
    [
        types.KeyboardInlineButtonRow(
            [types.KeyboardInlineButton("More", types.InlineButtonTypeUrl("https://example.org/"))]
        )
    ]
)

CASES: dict[str, list[Post]] = {
    "crypto": [
        Post("Bitcoin falls"),
        Post("bitcoins", False),
        Post("ETHER!"),
        Post("whether", False),
    ],
    "no-ads": [
        Post("news #ad", False, tag(5, 3)),
        Post("now 50% OFF", False),
        Post("see a.shop.example/x", False, link(4, 16)),
        Post("see example.org", True, link(4, 11)),
        Post("news"),
    ],
    "pictures": [
        Post("no picture", False),
        Post("a photo", True, {"media": "photo"}),
        Post("a video", True, {"media": "video"}),
    ],
    "admins": [
        Post("from the chair", True, {"sender": 0}),
        Post("from a guest", False, {"sender": 1}),
        Post("from the secretary", True, {"sender": 2}),
    ],
    "everything": [Post("Hello")],
    "english": [
        Post("The central bank raises interest rates by half a point"),
        Post("Die Zentralbank erhöht heute die Zinsen um einen halben Punkt", False),
        Post("ok"),
    ],
    "promoted": [
        Post("Hello", "News of 2026-03-06\nHello\nSource · Join us", at(2026, 3, 6, 12, 0)),
    ],
    "invited": [Post("Hello")],
    "topics": [
        Post("Hello", True, {"topic": 4}),
        Post("elsewhere", False, {"topic": 5}),
        Post("in General", False),
    ],
    "mirrored": [Post("Hello")],
    "delayed": [Post("Hello", False)],
    "digests": [Post("Hello", False)],
    "reread": [Post("Hello", False)],
    "at-once": [Post("Hello")],
    "forum": [Post("Hello", True)],
    "guarded": [
        Post("the sea", True, {"media": "photo", "noforwards": True}),
        Post("a text", True),
    ],
    "buttons": [
        Post("Hello"),
        Post("Hello", "Hello\n\nMore", {"markup": BUTTONS}),
    ],
    "awake": [Post("Hello")],
    "short-lived": [Post("Hello")],
    "outputs": [Post("Hello")],
    "plugged": [Post("Hello")],
    "watermarked": [Post("a photo", False, {"media": "photo"}), Post("Hello")],
    "watched": [Post("Acme is for sale"), Post("an #ad", False, tag(3, 3))],
    "told": [
        Post("Acme is for sale", "They write of us: {link}"),
        Post("Acme is for sale", False),
        Post("nothing of it", False),
    ],
    "reviewed": [Post("Hello", False)],
    "capped": [Post("first"), Post("second"), Post("third", False)],
    "nearly-once": [
        Post("Bitcoin falls by five percent in one day"),
        Post("BITCOIN falls by five percent, in one day!", False),
        Post("Bitcoin falls by five percent in one day again", False),
        Post("Bitcoin rises by nine percent in one day"),
    ],
    "once": [
        Post("Hello"),
        Post("Hello", False),
        Post(" Hello  ", False),
        Post("Hello", True, {"media": "photo"}),
        Post("hello"),
    ],
    "authored": [Post("Hello")],
    "collected": [Post("Hello")],
    "flat": [Post("Hello"), Post("an answer", True, {"reply_to": 1})],
    "articles": [
        Post(
            "a long text of more than forty characters at example.org", True, marked("example.org")
        ),
        Post("a long text of more than forty characters, without a link", False),
        Post("example.org", False, marked("example.org")),
    ],
    "mentions": [
        Post("ask @acme", True, {"entities": [types.MessageEntityMention(4, 5)]}),
        Post("ask @other", False, {"entities": [types.MessageEntityMention(4, 6)]}),
        Post("see www.acme.example/x", True, link(4, 18)),
        Post("see t.me/acme", True, link(4, 9)),
        Post("see t.me/other", False, link(4, 10)),
    ],
    "no-small-talk": [
        Post("a real message"),
        Post("ok", False),
        Post("an answer", False, {"reply_to": 1}),
        Post("pic", True, {"media": "photo"}),
    ],
    "photos-here": [
        Post("a photo", True, {"media": "photo"}),
        Post("a text", False),
    ],
    "text-there": [
        Post("a photo", False, {"media": "photo"}),
        Post("a text"),
    ],
    "plain": [
        Post("bold\n\n\n\ntext", "bold\n\ntext", {"entities": [types.MessageEntityBold(0, 4)]}),
    ],
    "warned": [
        Post("Hello", "⚠️ Not checked ⚠️\n\nHello"),
    ],
    "sport-named": [Post("Goal", "Sport\nGoal")],
    "weather-named": [
        Post("Rain", "Weather\nRain"),
        Post("a map", "Weather\na map", {"media": "photo"}),
    ],
    "credited": [
        Post("Hello", "News of 2026-03-06, 11:00\nHello\nSource: {link}", at(2026, 3, 6, 11, 0)),
    ],
    "clean": [
        Post("Hello, more at example.org #news", "Hello, more at", marked("example.org", "#news")),
        Post("#news", None, tag(0, 5)),
    ],
    "renamed": [
        Post("ACME and Acme Corp sell at 5 USD", "Emca and Emca sell at $5"),
        Post("nothing of it"),
    ],
    "rewritten": [
        Post("buy: shop.example/ref/5", "buy: my.example/shop/5", link(5, 18)),
        Post("see shop.example", True, link(4, 12)),
        Post("ask @their_bot", "ask @my_bot", {"entities": [types.MessageEntityMention(4, 10)]}),
    ],
    "teasers": [
        Post("short", False),
        Post("a text of more than twenty characters", "a text of more than…\nMore in {link}"),
    ],
    "captions": [
        Post("no photo", False),
        Post("the sea", "Photo {number}: the sea", {"media": "photo"}),
    ],
    "office": [
        Post("on Friday at noon", True, at(2026, 3, 6, 11, 0)),
        Post("on Friday evening", False, at(2026, 3, 6, 17, 0)),
        Post("on Sunday", False, at(2026, 3, 8, 11, 0)),
    ],
}


def test_each_recipe_has_a_case() -> None:
    # That of a sender pool is run in test_pools.
    assert RECIPES.keys() == {*CASES, "pooled"}


@pytest.mark.parametrize("name", list(CASES))
def test_a_recipe_does_what_it_says(name: str) -> None:
    if "language" in RECIPES[name].filter:
        pytest.importorskip("gcld3")

    async def scenario(sandbox: SandboxHarness) -> None:
        rule = RECIPES[name]
        world, pushes = sandbox.server.world, sandbox.server.pushes
        account = world.add_account()
        people = [world.add_account() for _ in range(3)]
        members = [account.id, *(it.id for it in people)]
        source = world.add_channel("source", members=members, megagroup=name == "admins")
        to = sandbox.channel(posters=(account,))
        topics = [topic_of(it[0]) for it in (rule.sources, rule.destinations)]
        if any(topics):
            source = world.add_channel("source", members=members, forum=True)
            to = world.add_channel("to", members=members, forum=True)
            for chat, topic in zip((source, to), topics, strict=True):
                assert chat.topics is not None
                chat.topics[topic] = Topic(topic, "News", 0, 0)
        filter_ = dict(rule.filter)
        if "sender" in filter_:
            filter_["sender"] = [people[0].id, people[2].id]
        more = {"filter": filter_, "transform": tuple(rule.transform), "sync": rule.sync}
        more["options"] = rule.options
        harness = SessionHarness(sandbox)
        noon = datetime(2026, 3, 6, 12, 0, tzinfo=UTC).timestamp()
        harness.clock = replace(harness.clock, time=lambda: noon)
        chats = [
            f"{it.marked}/{topic}" if topic else it
            for it, topic in zip((source, to), topics, strict=True)
        ]
        session = harness.session(account, (*chats, rule.mode, more))
        await session.start()
        wanted = []
        again = [] if rule.options else CASES[name][:1]
        for it in [*CASES[name], *again]:
            fields = dict(it.fields)
            author = people[fields.pop("sender")].id if "sender" in fields else 0
            date = fields.pop("date", None)
            if kind := fields.get("media"):
                fields["media"] = media(sandbox, kind)
            for part in fields.pop("marked", ()):
                kind = types.MessageEntityHashtag if part[0] == "#" else types.MessageEntityUrl
                place = kind(it.text.index(part), len(part))
                fields["entities"] = [*fields.get("entities", ()), place]
            message, event = world.post(source, author, it.text, **fields)
            message.date = date or message.date
            pushes.channel_event(source, event, message)
            if it.wanted is not None:
                link = f"https://t.me/c/{source.id}/{message.id}"
                wanted.append(
                    it.wanted.replace("{link}", link).replace("{number}", str(message.id))
                )
        box = session.reader.channels[source.id]
        await until(lambda: box.cursor == source.box.pts)
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        assert [it.text for it in to.box.messages.values()] == wanted
        assert {it.topic for it in to.box.messages.values()} <= {topics[1]}
        named = {it.forwarded is not None for it in to.box.messages.values()}
        assert named <= {rule.mode == "forward"}
        await session.stop()

    run_scenario(scenario)


def test_the_digest_has_what_has_come_at_its_time() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        now = [datetime(2026, 3, 6, 12, 0, tzinfo=UTC).timestamp()]
        harness.clock = replace(harness.clock, time=lambda: now[0])
        options = {"options": RECIPES["digests"].options}
        session = harness.session(account, (source, to, "copy", options))
        await session.start()
        for text, minute in (("Hello", 0), ("bye", 30), ("too late", 7 * 60)):
            message, event = sandbox.server.world.post(source, 0, text)
            message.date = int(now[0]) + minute * 60
            now[0] = message.date
            sandbox.server.pushes.channel_event(source, event, message)
            box = session.reader.channels[source.id]
            await until(lambda box=box: box.cursor == source.box.pts)
        session.forwarder.later._turn()
        await until(lambda: bool(texts(to)))
        [text] = texts(to)
        assert "2 messages, 2026-03-06 13:00 – 13:30 (Europe/Berlin)" in text
        assert "Hello" in text and "bye" in text
        await session.stop()

    run_scenario(scenario)


def test_the_copies_of_the_mirror_follow() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = RECIPES["mirrored"]
        session = harness.session(account, (source, to, rule.mode, {"sync": rule.sync}))
        await session.start()
        say(sandbox, source, "Hello", "bye")
        await until(lambda: texts(to) == ["Hello", "bye"])
        edit(sandbox.server, source.marked, 0, 1, "Hello, world")
        delete(sandbox.server, source.marked, 0, [2])
        await until(lambda: texts(to) == ["Hello, world"])
        await session.stop()

    run_scenario(scenario)


def media(sandbox: SandboxHarness, kind: str) -> Any:
    files = sandbox.server.world.files
    if kind == "photo":
        return files.add(b"photo", is_photo=True)
    attributes = [types.DocumentAttributeVideo(1.0, 2, 2)]
    return files.add(b"video", mime_type="video/mp4", attributes=attributes)
