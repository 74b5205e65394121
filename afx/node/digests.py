"""Digests of one session: messages that were collected, sent together.

What a rule collects waits with the digest's time as what is postponed does (see ``postponed``),
and goes to the outbox of its destination then: as references, which are read when they are sent.
As many of the first ones as fit into one message of Telegram are laid out as that, which is
stored before it is sent: so a digest that is sent once more after a crash has the same messages,
and with them the same random id, whatever has been edited, deleted or collected since. Each of
its messages is linked to the copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from telethon.tl import types

from afx.cluster.links import is_channel
from afx.empty import NOTHING
from afx.forwarding.changes import Change
from afx.forwarding.digest_texts import Entry, Marks, digest, fitting
from afx.forwarding.digests import ANY, Digest, digest_id
from afx.forwarding.entities import Styled
from afx.forwarding.look import Look
from afx.forwarding.options import Options
from afx.forwarding.pipeline import Delivery, deliveries
from afx.forwarding.rules import Routes
from afx.forwarding.templates import link_to
from afx.node.digested import Digested
from afx.node.outbox import Outbox
from afx.node.outbox_reader import Found
from afx.node.references import Reference
from afx.node.snapshots import keeps_content
from afx.reasons import DeadReason
from afx.telegram.facts import TelegramFacts, media_kind
from afx.telegram.sender import Outcome

IN_DIGEST = Outcome("known", reason="it is in a digest")
"""What is said of an entry that is sent with the first one of its digest."""
_MARKS = Marks(types.MessageEntityBold, types.MessageEntityTextUrl)


class Digests:
    """What one session lays out."""

    __slots__ = ("_made", "_names", "_options", "digested")

    def __init__(self, options: Callable[[int], Options], names: Mapping[int, str]) -> None:
        """``options`` are those of a rule, ``names`` those of the chats that were read."""
        self._options = options
        self._names = names
        self.digested = Digested()
        self._made: Mapping[int, Delivery] = NOTHING
        """Destination → the digest that was laid out last, and is not settled."""

    def laid_out(self, found: Found, references: Sequence[Reference], outbox: Outbox) -> Found:
        """Return what was read, up to the first message of a digest and with that.

        A digest is the delivery of its first entry; the others have ``IN_DIGEST``.
        """
        start = next((at for at, it in enumerate(references) if it.part), None)
        if start is None:
            return found
        if references[start].part == "entry":
            before, (start, end) = start, self._next(found, references, start)
            if start == end:
                # What is not sent; or nothing, where the first one cannot be read now.
                return found[:end] if end > before else found
            outbox.lay_out(start, end - start)
        else:
            end = start + 1
            while end < len(references) and references[end].part == "rest":
                end += 1
            found[start:end] = _of_one_message(found[start:end])
        group = found[start:end]
        if parts := [it for it, outcome in group if outcome is None]:
            made = self._digest(parts, references[start:end])
            made.beside = tuple((it, outcome) for it, outcome in group if outcome is not None)
            # All of them leave the outbox together: what is laid out stays what it is until then.
            found[start:end] = [(made, None), *((it, IN_DIGEST) for it, _ in group[1:])]
        return found[:end]

    def _next(self, found: Found, references: Sequence[Reference], start: int) -> tuple[int, int]:
        """Return where the entries of the next message begin and end: as many as fit.

        Both are the same where there are none; what is before that is not sent.
        """
        rule = references[start].rule
        places: list[int] = []
        end = start
        for at in range(start, len(references)):
            it, outcome = references[at], found[at][1]
            is_unread = outcome is not None and outcome.result == "failed"
            if it.part != "entry" or it.rule != rule or is_unread:
                break
            end = at + 1
            if outcome is None:
                places.append(at)
        if not places:
            return end, end
        option = self._option(rule)
        entries = [self._entry(found[it][0]) for it in places]
        count = fitting(entries, option.length, option.zone, _MARKS)
        return places[0], (end if count == len(places) else places[count])

    def _digest(self, parts: Sequence[Delivery], references: Sequence[Reference]) -> Delivery:
        first = parts[0]
        for it in parts:
            it.part = "entry"
        messages = ((it.source, it.message) for it in references)
        made = Delivery(
            first.rule,
            "copy",
            first.source,
            first.message,
            first.destination,
            digest_id(first.rule, first.destination, messages),
            "",
            (),
            needs_native_forward=False,
            posted=first.posted,
            look=Look.NO_PREVIEW,
            topic=first.topic,
            part="first",
            parts=tuple(parts),
        )
        self._write(made)
        self._made = {**self._made, made.destination: made}
        return made

    def _write(self, made: Delivery) -> None:
        option = self._option(made.rule)
        entries = [self._entry(it) for it in made.parts]
        made.text, made.entities = digest(entries, option.length, option.zone, _MARKS)

    def _entry(self, it: Delivery) -> Entry:
        return Entry(
            Styled(it.text, it.entities),
            it.source,
            self._names.get(it.source, ""),
            link_to(it.source, it.message),
            media_kind(it.whole),
            int(it.posted.timestamp()) if it.posted else 0,
            it.album,
        )

    def _option(self, rule: int) -> Digest:
        return self._options(rule).digest or ANY

    # --- what happens to messages meanwhile ------------------------------------------------

    def settled(self, made: Delivery) -> None:
        """A digest has left its lane."""
        if self._made.get(made.destination) is made:
            left = {chat: it for chat, it in self._made.items() if it is not made}
            self._made = left or NOTHING

    def note_change(self, routes: Routes, change: Change) -> None:
        """Follow an edit, or a delete, of what is in a digest that was not sent yet."""
        if not self._made or change.kind not in ("edit", "delete"):
            return
        for made in self._made.values():
            changed = [it for it in made.parts if _is_of(change, it)]
            for it in changed:
                _follow(routes, change, it)
            if changed:
                self._write(made)


def _is_of(change: Change, it: Delivery) -> bool:
    # Telegram names no chat outside channels (api/updates, updateDeleteMessages).
    is_chat = it.source == change.chat if change.chat else not is_channel(it.source)
    return is_chat and it.message in change.messages


def _follow(routes: Routes, change: Change, it: Delivery) -> None:
    """Give an entry what an edit has left of its message; of a deleted one nothing is left."""
    key = (it.rule, it.destination)
    of_it = [each for each in routes.get(it.source, ()) if (each.rule, each.destination) == key]
    if change.message is None:
        if not any(map(keeps_content, of_it)):
            it.text, it.entities, it.whole = "", (), None
        return
    for route in of_it:
        [fresh] = deliveries(change.message, [replace(route, unjudged="")], TelegramFacts)
        it.text, it.entities, it.whole = fresh.text, fresh.entities, change.message.raw


def _of_one_message(found: Found) -> Found:
    """Return what is known of entries that may have been sent together: it cannot wait for any.

    Where one is linked, all were sent.
    """
    copies = [outcome.copy for _, outcome in found if outcome is not None and outcome.copy]
    known = Outcome("known", copies[0]) if copies else None
    return [(it, known or _given_up(outcome)) for it, outcome in found]


def _given_up(outcome: Outcome | None) -> Outcome | None:
    """Return the outcome of what is laid out, and may have been sent: it cannot wait."""
    if outcome is None or outcome.result != "failed":
        return outcome
    return replace(outcome, result="refused", dead=outcome.dead or DeadReason.MESSAGE_UNREADABLE)
