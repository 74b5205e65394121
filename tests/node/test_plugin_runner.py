"""Plug-ins have a time-out, a budget, and a thread of their own; what they answer is checked."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.plugins import HOOKS, Settings

from afx.forwarding.entities import Styled
from afx.forwarding.facts import Facts
from afx.forwarding.plugin_options import Plugin
from afx.plugins import Drop, Hook, Message
from afx.plugins.runner import Failed, PluginRunner
from afx.plugins.trial import PluginTrial

EXAMPLES = Path(__file__).parents[2] / "docs/plugins"


def plugin(name: str, settings: Settings | None = None, **more: Any) -> Plugin:
    return Plugin(name, settings or {}, **{"timeout": 60.0, **more})


def runner(**more: Hook) -> PluginRunner:
    def load(name: str) -> Hook:
        found: Hook = {**HOOKS, **more}[name]
        return found

    return PluginRunner(load)


def answers(of: PluginRunner, use: Plugin, *given: str) -> list[Any]:
    async def main() -> list[Any]:
        return [await of.apply(use, Message(it, rule=1)) for it in given]

    return asyncio.run(main())


def reason(answer: Any) -> str:
    assert isinstance(answer, Failed)
    return answer.reason


def test_an_answer_is_a_message_a_drop_or_none() -> None:
    assert answers(runner(), plugin("upper"), "a") == [Message("A", rule=1)]
    assert answers(runner(), plugin("no_b"), "a", "b") == [Message("a", rule=1), Drop()]
    [answer] = answers(runner(), plugin("wrong"), "a")
    assert reason(answer) == "its answer is neither a message, nor Drop, nor None"


def test_what_raises_is_not_installed_or_not_async_has_no_answer() -> None:
    [answer] = answers(runner(), plugin("fails"), "bad")
    assert reason(answer) == "it raised OSError"
    [answer] = answers(PluginRunner(), plugin("nobody"), "a")
    assert reason(answer) == "the plug-in 'nobody' is not installed here"
    [answer] = answers(runner(), plugin("no_async"), "a")
    assert "no async function" in reason(answer)


def test_one_that_waits_too_long_is_cut_off() -> None:
    of = runner()
    [answer] = answers(of, plugin("waits", timeout=0.01), "a")
    assert reason(answer) == "no answer within 0.01 s"
    assert answers(of, plugin("upper"), "a") == [Message("A", rule=1)]


def test_one_that_never_gives_its_thread_back_is_left_and_the_loop_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("afx.plugins.runner._STUCK_SECONDS", 0.05)
    free = threading.Event()

    async def hangs(_message: Message, _: Settings) -> None:
        free.wait(60)

    of = runner(hangs=hangs)

    async def main() -> None:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        task = asyncio.create_task(tick())
        for number in range(4):
            answer = await of.apply(plugin("hangs", timeout=0.05), Message("a"))
            assert "no answer" in reason(answer)
            if number < 3:
                assert await of.apply(plugin("upper"), Message("a")) == Message("A")
        assert ticks > 4, "the loop of the sessions was not held up"
        assert "until one returns" in reason(await of.apply(plugin("upper"), Message("a")))
        task.cancel()
        hung = list(of._stuck)
        free.set()
        for it in hung:
            it.join(60)
        assert await of.apply(plugin("upper"), Message("a")) == Message("A"), "they have returned"

    asyncio.run(main())


def test_one_whose_time_ended_before_its_turn_is_not_called_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("afx.plugins.runner._STUCK_SECONDS", 0.01)
    begun, free = threading.Event(), threading.Event()
    called: list[str] = []

    async def blocks(_message: Message, _: Settings) -> None:
        begun.set()
        free.wait(60)

    async def late(message: Message, _: Settings) -> None:
        called.append(message.text)

    of = runner(blocks=blocks, late=late)

    async def main() -> None:
        first = asyncio.create_task(of.apply(plugin("blocks"), Message("a")))
        await asyncio.to_thread(begun.wait, 60)
        assert "no answer" in reason(await of.apply(plugin("late", timeout=0.01), Message("b")))
        [thread] = of._stuck
        free.set()
        assert await first == Message("a")
        await asyncio.to_thread(thread.join, 60)
        assert not thread.is_alive()

    asyncio.run(main())
    assert not called


def test_what_else_a_hung_thread_had_begun_is_ended_when_it_returns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("afx.plugins.runner._STUCK_SECONDS", 0.05)
    free, begun = threading.Event(), threading.Event()

    async def hangs(_message: Message, _: Settings) -> None:
        begun.set()
        free.wait(60)

    of = runner(hangs=hangs)

    async def main() -> None:
        use = asyncio.create_task(of.apply(plugin("hangs", timeout=0.05), Message("a")))
        await asyncio.to_thread(begun.wait, 60)
        other = asyncio.create_task(of.apply(plugin("upper", timeout=60), Message("a")))
        assert "no answer" in reason(await use)
        free.set()
        assert await other == Message("A")

    asyncio.run(main())


def test_a_budget_is_of_an_hour_and_a_rule() -> None:
    now = [0.0]
    of = PluginRunner(lambda name: HOOKS[name], lambda: now[0])
    use = plugin("upper", per_hour=2)
    found = answers(of, use, "a", "b", "c")
    assert "budget of 2" in reason(found[2])
    now[0] = 3_600.0
    assert answers(of, use, "d") == [Message("D", rule=1)]


def test_a_stopped_lane_cancels_the_call() -> None:
    ended = threading.Event()

    async def notes(_message: Message, _: Settings) -> None:
        try:
            await asyncio.sleep(3_600)
        finally:
            ended.set()

    async def main() -> None:
        task = asyncio.create_task(runner(notes=notes).apply(plugin("notes"), Message("a")))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ended.wait(30)


def test_a_rule_that_is_tried_shows_what_its_plugins_do_and_which_have_no_answer() -> None:
    def tried(text: str, *plugins: Plugin) -> tuple[Styled | None, list[str]]:
        trial = PluginTrial(plugins, 1, Facts(text, ()), runner())
        return trial(Styled(text, ())), trial.problems

    assert tried("a", plugin("fails"), plugin("upper")) == (Styled("A!", ()), [])
    assert tried("b", plugin("no_b")) == (None, [])
    failed = "plug-in fails: it raised OSError"
    assert tried("bad", plugin("fails"), plugin("upper")) == (Styled("BAD", ()), [failed])
    assert tried("bad", plugin("fails", on_error="dead")) == (None, [failed])


def example(name: str) -> Callable[..., Any]:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[..., Any] = getattr(module, name)
    return found


def test_the_examples_of_the_documentation_work(monkeypatch: pytest.MonkeyPatch) -> None:
    mark, translate = example("mark"), example("translate")
    of = runner(mark=mark, translate=translate)
    use = plugin("mark", {"text": "© us"})
    assert answers(of, use, "a", "a\n\n© us") == [
        Message("a\n\n© us", rule=1),
        Message("a\n\n© us", rule=1),
    ]
    sent: list[Any] = []

    def posted(url: str, body: bytes) -> dict[str, str]:
        sent.append((url, body))
        return {"text": "bonjour"}

    monkeypatch.setitem(translate.__globals__, "_post", posted)
    use = replace(use, name="translate", settings={"url": "https://x.example", "to": "fr"})
    assert answers(of, use, "hello", " ")[0] == Message("bonjour", rule=1)
    assert sent == [("https://x.example", b'{"text": "hello", "to": "fr"}')]
