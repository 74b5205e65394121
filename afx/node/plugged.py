"""Lets the plug-ins of rules change what a lane is about to send.

They are asked for a whole batch at once, and each delivery once: what one has changed, or does
not let be sent, is kept with the delivery until that leaves its lane. A plug-in that gives no
answer holds up its lane for its time-out at most, and loses nothing: the rule says what then
becomes of the message. What is for a plug-in that gets files is asked about by itself, or with
its album: so few files lie on the disk.
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
from afx.node.plugin_files import FileLaterError, PluginFiles, RereadError, Work
from afx.node.plugin_verdicts import DROPPED, Made, refusal_of, unusable, verdict
from afx.node.reuploads import is_gone
from afx.plugins import Drop, Message
from afx.plugins.runner import Answer, Failed, PluginRunner
from afx.reasons import DeadReason, TroubleReason
from afx.telegram.facts import media_kind
from afx.telegram.sender import Outcome

_AT_ONCE = 8
_RUNNER = PluginRunner()
"""That of this process: its thread begins with the first plug-in that is called."""
_REPORT = TroubleReason.PLUGIN_FAILED
Trouble = Callable[[TroubleReason, str], None]


async def plugged(
    batch: Sequence[Entry],
    trouble: Trouble,
    files: PluginFiles,
    runner: PluginRunner | None = None,
) -> tuple[list[Entry], list[Outcome]]:
    """Return the first of a batch that are sent, or the first that are not, with outcomes.

    The batch has begun: no edit is folded into it meanwhile. Edits know their copies. Nothing
    of both: it is to be tried again. Raises ConnectionError, and the error of a lost login.
    """
    runner = runner or _RUNNER

    def tell(text: str) -> None:
        if runner.may_tell(text):
            trouble(_REPORT, text)

    batch, is_with_file = _first_alike(batch)
    wanted = [it for it, _ in batch if it.plugins and (it.op == "send" or _is_edit(it))]
    reasons: dict[str, None] = {}
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(it: Delivery) -> None:
        async with limit:
            reasons.update(dict.fromkeys(await _change(it, runner)))

    if is_with_file:
        try:
            async with files.parking():
                for it in wanted:
                    reasons.update(dict.fromkeys(await _with_file(it, runner, files, tell)))
        except FileLaterError as error:
            return list(batch), [Outcome("failed", reason=str(error))] * len(batch)
        except RereadError:
            return [], []
    elif wanted:
        await asyncio.gather(*map(one, wanted))
    for text in reasons:
        tell(text)
    # An album is sent as a whole, or not at all.
    for unit in units(batch, lambda it: it[0]):
        verdict = next((it.verdict for it, _ in unit if it.verdict is not None), None)
        for it, _ in unit:
            it.verdict = verdict
    refused = list(takewhile(lambda it: it[0].verdict is not None, batch))
    if refused:
        return refused, [it.verdict for it, _ in refused]
    return list(takewhile(lambda it: it[0].verdict is None, batch)), []


def _first_alike(batch: Sequence[Entry]) -> tuple[Sequence[Entry], bool]:
    """Return what comes before the first of a batch whose file a plug-in gets, or that alone.

    With the latter True.
    """
    count = 0
    for unit in units(batch, lambda it: it[0]):
        if any(_gets_file(it) for it, _ in unit):
            return (batch[:count], False) if count else (unit, True)
        count += len(unit)
    return batch, False


def _gets_file(it: Delivery) -> bool:
    return (
        any(plugin.files for plugin in it.plugins)
        and (it.op == "send" or _is_edit(it))
        and it.whole is not None
        and media_kind(it.whole) in CAPTIONED
    )


def _is_edit(it: Delivery) -> bool:
    """Return whether an edit changes a copy: one of what was never copied changes none."""
    return it.op == "edit" and bool(it.copy)


async def _with_file(
    it: Delivery, runner: PluginRunner, files: PluginFiles, tell: Callable[[str], None]
) -> Iterable[str]:
    """Let a delivery's plug-ins change it, and its file; returns why some gave no answer."""
    if not _gets_file(it):
        return await _change(it, runner)
    plugins = it.plugins
    async with files.work(it) as work:
        reasons = await _change(it, runner, work)
        if it.verdict is None and not is_gone(it):
            try:
                made = await work.made()
            except BaseException:
                it.plugins = plugins
                raise
            if isinstance(made, Failed):
                text = unusable(it.rule, made.reason)
                it.verdict = refusal_of(plugins, text)
                return (*reasons, text)
            if made is not None:
                it.made = Made(made, it.rule, plugins, tell)
                it.raw, it.needs_native_forward = it.whole, False
    return reasons


async def _change(it: Delivery, runner: PluginRunner, work: Work | None = None) -> Iterable[str]:
    """Let a delivery's plug-ins change it; returns why some gave no answer.

    Those that get files are asked about its ``work`` alone.
    """
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
            answer: Answer | None
            if not plugin.files:
                answer = await runner.apply(plugin, message)
            elif work is not None:
                answer = await work.ask(runner, plugin, message)
            else:
                continue  # it has no file
            if answer is None:
                return reasons  # its message is gone
            if isinstance(answer, Message):
                message = answer
            elif isinstance(answer, Drop):
                it.verdict = DROPPED
                return reasons
            else:
                reason = f"plug-in {plugin.name} of rule {it.rule}: {answer.reason}"
                reasons.append(reason)
                if plugin.on_error != "pass":
                    it.verdict = verdict(plugin.on_error, reason)
                    return reasons
    except BaseException:
        it.plugins = plugins  # the lane is stopped, or has to wait: they are asked again
        raise
    if message != before:
        try:
            for entity in message.entities:
                bytes(entity)  # one that cannot be sent would stop the lane
            _take(it, message, media)
        except Exception as error:
            # Its text may contain the message's.
            reason = unusable(it.rule, type(error).__name__)
            reasons.append(reason)
            it.verdict = refusal_of(plugins, reason)
    return reasons


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
