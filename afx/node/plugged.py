"""Lets the plug-ins of rules change what a lane is about to send.

They are asked for a whole batch at once, and each delivery once: what one has changed, or does
not let be sent, is kept with the delivery until that leaves its lane. A plug-in that gives no
answer holds up its lane for its time-out at most, and loses nothing: the rule says what then
becomes of the message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile

from afx.forwarding.entities import Styled, shortened, trimmed
from afx.forwarding.facts import CAPTIONED
from afx.forwarding.pipeline import Delivery
from afx.forwarding.transforms import LONGEST_CAPTION, LONGEST_TEXT
from afx.forwarding.whole_albums import units
from afx.node.lane_queue import Entry
from afx.plugins import Drop, Message
from afx.plugins.runner import Failed, PluginRunner
from afx.reasons import DeadReason, TroubleReason
from afx.telegram.facts import media_kind
from afx.telegram.sender import Outcome

_AT_ONCE = 8
_RUNNER = PluginRunner()
"""That of this process: its thread begins with the first plug-in that is called."""
_DROPPED = Outcome("known", dead=DeadReason.PLUGIN_FAILED)
"""It is no dead letter, and its content was not sent: the same may come later."""
_REPORT = TroubleReason.PLUGIN_FAILED
Trouble = Callable[[TroubleReason, str], None]


async def plugged(
    batch: Sequence[Entry], trouble: Trouble, runner: PluginRunner | None = None
) -> tuple[list[Entry], list[Outcome]]:
    """Return the first of a batch that are sent, or the first that are not, with outcomes.

    The batch has begun: no edit is folded into it meanwhile. Edits know their copies.
    """
    runner = runner or _RUNNER
    wanted = [it for it, _ in batch if it.plugins and (it.op == "send" or _is_edit(it))]
    reasons: dict[str, None] = {}
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(it: Delivery) -> None:
        async with limit:
            reasons.update(dict.fromkeys(await _change(it, runner)))

    if wanted:
        await asyncio.gather(*map(one, wanted))
    for text in reasons:
        if runner.may_tell(text):
            trouble(_REPORT, text)
    # An album is sent as a whole, or not at all.
    for unit in units(batch, lambda it: it[0]):
        verdict = next((it.verdict for it, _ in unit if it.verdict is not None), None)
        for it, _ in unit:
            it.verdict = verdict
    refused = list(takewhile(lambda it: it[0].verdict is not None, batch))
    if refused:
        return refused, [it.verdict for it, _ in refused]
    return list(takewhile(lambda it: it[0].verdict is None, batch)), []


def _is_edit(it: Delivery) -> bool:
    """Return whether an edit changes a copy: one of what was never copied changes none."""
    return it.op == "edit" and bool(it.copy)


async def _change(it: Delivery, runner: PluginRunner) -> Iterable[str]:
    """Let a delivery's plug-ins change it; returns why some gave no answer."""
    plugins, it.plugins = it.plugins, ()
    media = media_kind(it.whole) if it.whole is not None else "text"
    if media != "text" and media not in CAPTIONED:
        return ()  # a sticker, or a poll, has no text that could be changed
    before = message = Message(
        it.text, tuple(it.entities), media, it.source, it.message, it.rule, it.op == "edit"
    )
    reasons: list[str] = []
    try:
        for plugin in plugins:
            answer = await runner.apply(plugin, message)
            if isinstance(answer, Message):
                message = answer
            elif isinstance(answer, Drop):
                it.verdict = _DROPPED
                return reasons
            elif isinstance(answer, Failed):
                reason = f"plug-in {plugin.name} of rule {it.rule}: {answer.reason}"
                reasons.append(reason)
                if plugin.on_error != "pass":
                    it.verdict = _verdict(plugin.on_error, reason)
                    return reasons
    except asyncio.CancelledError:
        it.plugins = plugins  # the lane is stopped: it is asked again
        raise
    if message != before:
        try:
            for entity in message.entities:
                bytes(entity)  # one that cannot be sent would stop the lane
            _take(it, message, media)
        except Exception as error:
            what = type(error).__name__  # its text may contain the message's
            reason = f"what the plug-ins of rule {it.rule} return cannot be sent: {what}"
            reasons.append(reason)
            strict = [it.on_error for it in plugins if it.on_error != "pass"]
            if strict:
                it.verdict = _verdict("dead" if "dead" in strict else "drop", reason)
    return reasons


def _verdict(on_error: str, reason: str) -> Outcome:
    if on_error == "drop":
        return _DROPPED
    return Outcome("refused", reason=reason, dead=DeadReason.PLUGIN_FAILED)


def _take(it: Delivery, message: Message, media: str) -> None:
    """Give a delivery what its plug-ins have made of it."""
    has_caption = media in CAPTIONED
    styled = trimmed(Styled(message.text, message.entities))
    styled = shortened(styled, LONGEST_CAPTION if has_caption else LONGEST_TEXT)
    if not styled.text and not has_caption:
        reason = "its plug-ins leave nothing of it"
        it.verdict = Outcome("refused", reason=reason, dead=DeadReason.PLUGIN_FAILED)
        return
    it.text, it.entities, it.needs_native_forward = styled.text, tuple(styled.entities), False
    if has_caption and it.op == "send":
        it.raw = it.whole
