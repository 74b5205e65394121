"""Plug-ins tried on one message, where ``afx rule test`` runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from afx.forwarding.entities import Styled
from afx.forwarding.facts import CAPTIONED, Facts
from afx.forwarding.plugin_options import Plugin
from afx.plugins import Drop, Message
from afx.plugins.runner import Failed, PluginRunner


class PluginTrial:
    """What a rule's plug-ins make of a message, and which of them have no answer."""

    def __init__(
        self,
        plugins: Sequence[Plugin],
        rule: int,
        facts: Facts,
        runner: PluginRunner | None = None,
    ) -> None:
        self._plugins = plugins
        self._rule = rule
        self._facts = facts
        self._runner = runner or PluginRunner()
        self.problems: list[str] = []

    def __call__(self, styled: Styled) -> Styled | None:
        """Return what they make of a text; None when it is not sent."""
        return asyncio.run(self._run(styled))

    async def _run(self, styled: Styled) -> Styled | None:
        it = self._facts
        message = Message(styled.text, tuple(styled.entities), it.media, it.chat, it.id, self._rule)
        for plugin in self._plugins:
            if plugin.files:
                if it.media in CAPTIONED:
                    self.problems.append(f"plug-in {plugin.name}: it gets no file here")
                continue
            answer = await self._runner.apply(plugin, message)
            if isinstance(answer, Drop):
                return None
            if isinstance(answer, Message):
                message = answer
            elif isinstance(answer, Failed):
                self.problems.append(f"plug-in {plugin.name}: {answer.reason}")
                if plugin.on_error != "pass":
                    return None
        return Styled(message.text, message.entities)
