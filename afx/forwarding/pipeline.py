"""From a message to its deliveries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct
from typing import Any, Literal

from afx.forwarding.buttons import Buttons, Rows, with_buttons
from afx.forwarding.entities import Styled
from afx.forwarding.facts import CAPTIONED, Facts
from afx.forwarding.live import is_live, is_over
from afx.forwarding.look import PLAIN, Look, look_of
from afx.forwarding.outputs import is_output
from afx.forwarding.plugin_options import Plugin
from afx.forwarding.replies import answered
from afx.forwarding.rules import Mode, Route
from afx.forwarding.topics import GENERAL, message_topic

Reupload = Literal["", "may", "must"]
Op = Literal["send", "edit", "delete", "pin", "unpin", "topic"]
Part = Literal["", "entry", "first", "rest"]
"""What a message is of a digest: nothing, collected for one, or laid out in one as its first or
one of the rest."""
_KEY = Struct("<qqqq")
_RANDOM_ID = Struct("<q")


@dataclass(slots=True, frozen=True)
class Incoming:
    """A message received in a source chat."""

    chat: int
    id: int
    text: str
    entities: tuple[Any, ...]
    has_media: bool
    raw: Any = None
    """Telegram's message, for filters and transforms; None where there is none."""


@dataclass(slots=True, eq=False)
class Delivery:
    """One message to be sent to one destination."""

    rule: int
    mode: Mode
    source: int
    message: int
    destination: int
    random_id: int
    text: str
    entities: tuple[Any, ...]
    needs_native_forward: bool
    """Sent by forwarding, since its text is not all of its content."""
    raw: Any = None
    """Telegram's message, whose file is sent with a changed caption, or as an answer."""
    album: int = 0
    """The album of the message; its items are sent together."""
    answers: int = 0
    """The message of the source that it answers; 0 for none, or where that is not kept."""
    parent: int = 0
    """The copy of that message, which the copy answers; 0 while it is not known."""
    error: str = ""
    """Why it is not to be sent at all."""
    unjudged: str = ""
    """Why its rule's filter has not judged it; it is not to be sent before that."""
    op: Op = "send"
    """What is to be done: a copy made, or the one that was made changed."""
    copy: int = 0
    """The copy that is to be changed; 0 while it is not known."""
    whole: Any = None
    """The whole message, as Telegram has it: that an edit has left, or that is for an output."""
    posted: Any = None
    """When the message was posted, as Telegram has it."""
    plugins: tuple[Plugin, ...] = ()
    """What has still to change it, before it is sent."""
    verdict: Any = None
    """The outcome of one that a plug-in does not let be sent."""
    look: Look = PLAIN
    """How its message is shown."""
    topic: int = 0
    """The topic of the destination that it goes to; 0 for none."""
    buttons: Rows = ()
    """The rows of buttons that it brings, if the account is a bot."""
    topics: bool = False
    """Topics of its source are topics of its destination."""
    source_topic: int = 0
    """The topic of the source that it lies in, if that counts; 0 for General."""
    reupload: Reupload = ""
    """Whether its file is downloaded, and uploaded anew: "may" is where it may not be forwarded."""
    uploaded: Any = None
    """What it is sent by after that, as TL."""
    made: Any = None
    """What plug-ins have made of its file; that is uploaded."""
    part: Part = ""
    """What it is of a digest; it is sent in that, and not by itself."""
    parts: tuple[Delivery, ...] = ()
    """Of a digest its entries, the first of which gives it its source and message."""
    beside: tuple[tuple[Delivery, Any], ...] = ()
    """What was collected for it and is not in it, with the outcomes; settled with it."""
    version: int = 0
    """What tells an edit from one of the same second that says the same; 0: nothing does."""


def random_id(rule: int, source: int, message: int, destination: int) -> int:
    """Return the id by which Telegram recognises a repeated send.

    It is derived from what is sent and where to, so that a replay after a crash
    repeats it (core.telegram.org/method/messages.sendMessage, random_id).
    """
    digest = blake2b(_KEY.pack(rule, source, message, destination), digest_size=8)
    return int(_RANDOM_ID.unpack(digest.digest())[0]) or 1


def deliveries(
    incoming: Incoming,
    routes: Sequence[Route],
    facts_of: Callable[[Incoming], Facts] | None = None,
) -> list[Delivery]:
    """Return the deliveries of a message, one for each route.

    ``facts_of`` gives what transforms ask of a message; without it nothing is changed.
    """
    needs_native_forward = incoming.has_media or not incoming.text
    posted = getattr(incoming.raw, "date", None)
    album = getattr(incoming.raw, "grouped_id", None) or 0
    answers = answered(incoming.raw)
    reupload: Reupload = "must" if getattr(incoming.raw, "noforwards", False) else "may"
    look = look_of(incoming.raw, incoming.entities)
    made = [
        Delivery(
            route.rule,
            route.mode,
            incoming.chat,
            incoming.id,
            route.destination,
            random_id(route.rule, incoming.chat, incoming.id, route.destination),
            incoming.text,
            incoming.entities,
            needs_native_forward,
            album=album,
            answers=answers if route.mode == "copy" and route.options.replies else 0,
            unjudged=route.unjudged,
            whole=incoming.raw if is_output(route.destination) or route.options.plugins else None,
            plugins=route.options.plugins if route.mode == "copy" else (),
            posted=posted,
            look=look,
            topic=route.topic,
            reupload=reupload if route.options.reupload and route.mode == "copy" else "",
        )
        for route in routes
    ]
    if incoming.has_media and is_live(incoming.raw) and not is_over(incoming.raw):
        for route, it in zip(routes, made, strict=True):
            if it.mode == "copy" and "edits" in route.sync:
                # Only who has sent one may move it.
                it.needs_native_forward, it.raw = False, incoming.raw
    elif answers and incoming.has_media:
        for it in made:
            # A forward answers nothing: the file is sent by reference, see ``sender``.
            it.raw = incoming.raw if it.answers else None
    for route, it in zip(routes, made, strict=True):
        if "topics" in route.sync and may_follow(route):
            topic = message_topic(incoming.raw)
            it.topics, it.source_topic = True, 0 if topic == GENERAL else topic
    if facts_of is not None:
        for index, route in enumerate(routes):
            is_changed = route.transform is not None or made[index].plugins or _buttons(route)
            if is_changed and not route.unjudged:
                _change(made[index], route, incoming, facts_of(incoming))
    return made


def may_follow(route: Route) -> bool:
    """Return whether topics can be followed: from a whole forum to a whole forum."""
    return not (route.topic or route.topics or is_output(route.destination))


def _buttons(route: Route) -> Buttons:
    """Return what becomes of buttons; a forward shows its message as it is."""
    return route.options.buttons if route.mode == "copy" else ""


def _change(delivery: Delivery, route: Route, incoming: Incoming, facts: Facts) -> None:
    """Give a delivery the content that its rule makes of the message's."""
    try:
        changed = route.transform.apply(facts) if route.transform is not None else None
        has_caption = facts.media in CAPTIONED
        buttons = _buttons(route) if facts.buttons else ""
        if buttons == "text":
            styled = changed or Styled(facts.text, facts.entities)
            changed = with_buttons(styled, facts) or changed
    except Exception as error:
        # One message that a rule cannot cope with must not hold up the others.
        delivery.error = f"its transforms failed: {type(error).__name__}"
        return
    if changed is not None:
        delivery.text, delivery.entities = changed
        delivery.needs_native_forward = False
        if not has_caption and not changed.text:
            delivery.error = "its transforms leave nothing of it"
    if buttons == "keep":
        delivery.buttons = facts.buttons
    if has_caption and (changed is not None or facts.album or buttons):
        # An album whose captions are changed is sent anew as a whole.
        delivery.needs_native_forward = False
        delivery.raw = incoming.raw
