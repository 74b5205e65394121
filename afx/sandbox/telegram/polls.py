"""Polls and quizzes: what is asked, and who has voted for what.

A poll is the same wherever it is forwarded to: its votes are counted together.
Source: core.telegram.org/api/poll.
"""

from __future__ import annotations

import secrets
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from telethon.tl import types

from afx.sandbox.errors import RpcError
from afx.sandbox.telegram.peers import Channel, Peer

_FEWEST_ANSWERS, _MOST_ANSWERS = 2, 12
_MOST_OPTION_BYTES = 100
_MOST_QUESTION = 255
_MOST_SOLUTION = 200


@dataclass(slots=True, eq=False)
class Poll:
    """One poll, in all the messages that carry it."""

    question: Any
    """As TL: a text with entities."""
    answers: list[Any]
    """As TL, each with an option of its own."""
    public_voters: bool = False
    multiple_choice: bool = False
    quiz: bool = False
    revoting_disabled: bool = False
    correct: frozenset[bytes] = frozenset()
    """Options that are right, of a quiz."""
    solution: str = ""
    solution_entities: list[Any] = field(default_factory=list)
    closed: bool = False
    id: int = field(default_factory=lambda: secrets.randbits(62))
    votes: dict[int, frozenset[bytes]] = field(default_factory=dict)
    """Account → the options it has chosen."""

    @property
    def key(self) -> Hashable:
        """What is asked and how; neither its id nor its votes."""
        kind = (self.public_voters, self.multiple_choice, self.quiz, self.correct, self.solution)
        return bytes(self.question), *map(bytes, self.answers), kind

    def view(self) -> Any:
        """Return it as the media of a message, without what one account has chosen."""
        return types.MessageMediaPoll(self.poll(), self.results())

    def poll(self) -> Any:
        """Return what is asked, as TL."""
        return types.Poll(
            self.id,
            self.question,
            self.answers,
            0,
            closed=self.closed,
            public_voters=self.public_voters,
            multiple_choice=self.multiple_choice,
            quiz=self.quiz,
            revoting_disabled=self.revoting_disabled,
        )

    def results(self, viewer: int = 0) -> Any:
        """Return the votes, as TL: as one account sees them, or (0) as any may.

        Results that are for any account have the flag ``min`` (constructor/pollResults).
        Who has not voted sees no figures until the poll is closed, and no right answers.
        """
        chosen = self.votes.get(viewer)
        is_shown = self.closed or chosen is not None
        counts = [
            types.PollAnswerVoters(
                it.option,
                chosen=bool(chosen and it.option in chosen),
                correct=it.option in self.correct,
                voters=sum(it.option in options for options in self.votes.values()),
                recent_voters=[],
            )
            for it in self.answers
        ]
        told = bool(self.solution) and is_shown
        return types.PollResults(
            min=not viewer,
            results=counts if is_shown else None,
            total_voters=len(self.votes),
            solution=self.solution if told else None,
            solution_entities=self.solution_entities if told else None,
        )

    def vote(self, account: int, options: frozenset[bytes]) -> None:
        """Vote, or with no options take the vote back.

        Raises RpcError as messages.sendVote is refused.
        """
        if self.closed:
            raise RpcError(400, "MESSAGE_POLL_CLOSED")
        if not options <= {it.option for it in self.answers}:
            raise RpcError(400, "OPTION_INVALID")
        if len(options) > 1 and not self.multiple_choice:
            raise RpcError(400, "OPTIONS_TOO_MUCH")
        if account in self.votes and (self.quiz or self.revoting_disabled):
            raise RpcError(400, "REVOTE_NOT_ALLOWED")
        if options:
            self.votes[account] = options
        else:
            self.votes.pop(account, None)


def poll_of(media: Any) -> Poll:
    """Return the poll that an inputMediaPoll describes.

    Raises RpcError as messages.sendMedia is refused.
    """
    asked = media.poll
    text = asked.question.text
    if not text.strip() or len(text) > _MOST_QUESTION:
        raise RpcError(400, "POLL_QUESTION_INVALID")
    answers = [_answer(it, number) for number, it in enumerate(asked.answers)]
    if not _FEWEST_ANSWERS <= len(answers) <= _MOST_ANSWERS:
        raise RpcError(400, "POLL_ANSWERS_INVALID")
    options = [it.option for it in answers]
    if len(set(options)) < len(options):
        raise RpcError(400, "POLL_OPTION_DUPLICATE")
    return Poll(
        question=asked.question,
        answers=answers,
        public_voters=bool(asked.public_voters),
        multiple_choice=bool(asked.multiple_choice),
        quiz=bool(asked.quiz),
        revoting_disabled=bool(asked.revoting_disabled),
        correct=_correct(media, options) if asked.quiz else frozenset(),
        solution=_solution(media),
        solution_entities=list(media.solution_entities or []),
        closed=bool(asked.closed),
    )


def check_place(media: Any, peer: Peer) -> None:
    """Refuse a poll whose voters are named in a broadcast channel.

    Source: core.telegram.org/method/messages.forwardMessages.
    """
    in_broadcast = isinstance(peer, Channel) and not peer.megagroup
    if in_broadcast and isinstance(media, Poll) and media.public_voters:
        raise RpcError(400, "BROADCAST_PUBLIC_VOTERS_FORBIDDEN")


def _answer(answer: Any, number: int) -> Any:
    """Return an answer with its option; the server gives one to a new answer."""
    option = getattr(answer, "option", None)
    option = bytes([number]) if option is None else option
    if not 0 < len(option) <= _MOST_OPTION_BYTES:
        raise RpcError(400, "POLL_OPTION_INVALID")
    if not answer.text.text.strip():
        raise RpcError(400, "POLL_ANSWER_INVALID")
    return types.PollAnswer(answer.text, option)


def _correct(media: Any, options: list[bytes]) -> frozenset[bytes]:
    right = media.correct_answers or []
    if not right:
        raise RpcError(400, "QUIZ_CORRECT_ANSWERS_EMPTY")
    if media.poll.multiple_choice:
        raise RpcError(400, "QUIZ_MULTIPLE_INVALID")
    if len(right) > 1:
        raise RpcError(400, "QUIZ_CORRECT_ANSWERS_TOO_MUCH")
    if not 0 <= right[0] < len(options):
        raise RpcError(400, "QUIZ_CORRECT_ANSWER_INVALID")
    return frozenset({options[right[0]]})


def _solution(media: Any) -> str:
    solution = media.solution or ""
    if len(solution) > _MOST_SOLUTION:
        raise RpcError(400, "MEDIA_INVALID")
    return str(solution)
