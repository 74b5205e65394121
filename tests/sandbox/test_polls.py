"""Polls and quizzes (api/poll)."""

from __future__ import annotations

from typing import Any

import pytest
from support.raw import forward, input_peer, message_ids, messages_of, raw
from support.sandbox import SandboxHarness, run_scenario, until
from telethon import errors
from telethon.tl import functions, types


def words(text: str) -> Any:
    return types.TextWithEntities(text, [])


def asked(*options: bytes, question: str = "Tea or coffee?", **flags: Any) -> Any:
    answers = [types.PollAnswer(words(f"answer {it!r}"), it) for it in options or (b"t", b"c")]
    return types.Poll(0, words(question), answers, 0, **flags)


def poll(*options: bytes, fields: dict[str, Any] | None = None, **flags: Any) -> Any:
    return types.InputMediaPoll(asked(*options, **flags), **(fields or {}))


class Chat:
    """A channel with a poll in it, and two accounts that read it."""

    def __init__(self, sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        self.sandbox = sandbox
        self.poster, self.reader = world.add_account(), world.add_account()
        self.channel = world.add_channel(
            "group", megagroup=True, members=[self.poster.id, self.reader.id]
        )

    async def open(self) -> None:
        sandbox = self.sandbox
        self.client = await sandbox.client(sandbox.login(self.poster))
        self.other = await sandbox.client(sandbox.login(self.reader))
        for it in (self.client, self.other):
            await it.get_dialogs()

    async def send(self, media: Any, random_id: int = 1) -> int:
        request = functions.messages.SendMediaRequest(
            input_peer(self.poster, self.channel), media, "", random_id=random_id
        )
        [(_, number)] = message_ids((await raw(self.client, request)).updates)
        return number

    async def vote(self, number: int, *options: bytes) -> Any:
        peer = input_peer(self.reader, self.channel)
        request = functions.messages.SendVoteRequest(peer, number, list(options))
        [update] = (await raw(self.other, request)).updates
        return update.results

    async def results(self, number: int) -> Any:
        peer = input_peer(self.poster, self.channel)
        request = functions.messages.GetPollResultsRequest(peer, number, 0)
        [update] = (await raw(self.client, request)).updates
        return update.results


def test_a_vote_is_counted_and_told_to_the_others() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        chat = Chat(sandbox)
        await chat.open()
        seen: list[Any] = []

        async def note(update: Any) -> None:
            if isinstance(update, types.UpdateMessagePoll):
                seen.append(update)

        chat.client.add_event_handler(note)
        number = await chat.send(poll())
        results = await chat.vote(number, b"c")
        figures = [(it.option, bool(it.chosen), it.voters) for it in results.results]
        assert figures == [(b"t", False, 0), (b"c", True, 1)]
        await until(lambda: seen)
        assert (seen[0].results.min, seen[0].results.total_voters) == (True, 1)
        assert (await chat.results(number)).results is None, "who has not voted sees no figures"

    run_scenario(scenario)


def test_a_vote_can_be_changed_and_taken_back() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        chat = Chat(sandbox)
        await chat.open()
        number = await chat.send(poll())
        await chat.vote(number, b"c")
        assert [it.voters for it in (await chat.vote(number, b"t")).results] == [1, 0]
        await chat.vote(number)
        assert (await chat.results(number)).total_voters == 0

    run_scenario(scenario)


def test_a_vote_against_the_rules_is_refused() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        chat = Chat(sandbox)
        await chat.open()
        number = await chat.send(poll())
        with pytest.raises(errors.OptionInvalidError):
            await chat.vote(number, b"x")
        with pytest.raises(errors.OptionsTooMuchError):
            await chat.vote(number, b"t", b"c")
        several = await chat.send(poll(multiple_choice=True), 2)
        assert sum(it.voters for it in (await chat.vote(several, b"t", b"c")).results) == 2
        with pytest.raises(errors.MessageIdInvalidError):
            await chat.vote(99, b"t")

    run_scenario(scenario)


def test_a_quiz_tells_what_is_right_after_the_only_vote() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        chat = Chat(sandbox)
        await chat.open()
        fields = {"correct_answers": [1], "solution": "because", "solution_entities": []}
        number = await chat.send(poll(quiz=True, fields=fields))
        page = await raw(chat.other, messages_of(chat.reader, chat.channel, [number]))
        assert page.messages[0].media.results.solution is None
        results = await chat.vote(number, b"t")
        assert [bool(it.correct) for it in results.results] == [False, True]
        assert results.solution == "because"
        with pytest.raises(errors.RevoteNotAllowedError):
            await chat.vote(number, b"c")

    run_scenario(scenario)


def test_a_closed_poll_takes_no_votes() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        chat = Chat(sandbox)
        await chat.open()
        number = await chat.send(poll())
        peer = input_peer(chat.poster, chat.channel)
        close = functions.messages.EditMessageRequest(peer, number, media=poll(closed=True))
        [update] = (await raw(chat.client, close)).updates
        assert update.message.media.poll.closed
        with pytest.raises(errors.MessagePollClosedError):
            await chat.vote(number, b"t")
        with pytest.raises(errors.MessageNotModifiedError):
            await raw(chat.client, close)

    run_scenario(scenario)


def test_the_votes_of_a_forwarded_poll_are_counted_together() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        chat = Chat(sandbox)
        await chat.open()
        number = await chat.send(poll())
        to = sandbox.channel(posters=(chat.reader,))
        sandbox.server.ledger.expect(chat.channel.marked, to.marked, chat.reader.id)
        await raw(chat.other, forward(chat.reader, chat.channel, to, [number], [9]))
        copy = next(iter(to.box.messages.values()))
        peer = input_peer(chat.reader, to)
        await raw(chat.other, functions.messages.SendVoteRequest(peer, copy.id, [b"t"]))
        assert (await chat.results(number)).total_voters == 1

    run_scenario(scenario)


def test_a_poll_that_names_its_voters_stays_out_of_broadcast_channels() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        chat = Chat(sandbox)
        await chat.open()
        number = await chat.send(poll(public_voters=True))
        to = sandbox.channel(posters=(chat.reader,))
        with pytest.raises(errors.BroadcastPublicVotersForbiddenError):
            await raw(chat.other, forward(chat.reader, chat.channel, to, [number], [9]))

    run_scenario(scenario)


@pytest.mark.parametrize(
    ("media", "refusal"),
    [
        (poll(question=" "), "POLL_QUESTION_INVALID"),
        (poll(b"t"), "POLL_ANSWERS_INVALID"),
        (poll(b"t", b"t"), "POLL_OPTION_DUPLICATE"),
        (poll(b"t", b""), "POLL_OPTION_INVALID"),
        (poll(quiz=True), "QUIZ_CORRECT_ANSWERS_EMPTY"),
        (poll(quiz=True, fields={"correct_answers": [2]}), "QUIZ_CORRECT_ANSWER_INVALID"),
        (poll(quiz=True, fields={"correct_answers": [0, 1]}), "QUIZ_CORRECT_ANSWERS_TOO_MUCH"),
        (
            poll(quiz=True, multiple_choice=True, fields={"correct_answers": [0]}),
            "QUIZ_MULTIPLE_INVALID",
        ),
    ],
    ids=lambda it: it if isinstance(it, str) else "",
)
def test_a_poll_against_the_rules_is_refused(media: Any, refusal: str) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        chat = Chat(sandbox)
        chat.client = await sandbox.client(sandbox.login(chat.poster))
        name = "".join(it.capitalize() for it in refusal.split("_")) + "Error"
        with pytest.raises(getattr(errors, name)):
            await chat.send(media)

    run_scenario(scenario)


def test_the_server_gives_options_to_answers_that_have_none() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        chat = Chat(sandbox)
        await chat.open()
        answers = [types.InputPollAnswer(words(it)) for it in ("tea", "coffee")]
        media = types.InputMediaPoll(types.Poll(0, words("What?"), answers, 0))
        number = await chat.send(media)
        page = await raw(chat.other, messages_of(chat.reader, chat.channel, [number]))
        options = [it.option for it in page.messages[0].media.poll.answers]
        assert len(set(options)) == 2
        assert (await chat.vote(number, options[0])).total_voters == 1

    run_scenario(scenario)
