"""New logins of sessions that are there: a session string, or a phone, its code and a password."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from afx.api.replies import dumps, note_change, respond
from afx.api.routes.endpoint import Body, Name, endpoint
from afx.api.state import api_of, context_of
from afx.errors import ConfigError, ConflictError, UnreachableError
from afx.operations import sign_in_steps
from afx.operations.answers import Answer
from afx.operations.context import Context
from afx.operations.sign_in_steps import Find, SignIn, Telegram

router = APIRouter(tags=["sessions"])
_SECRET: dict[str, Any] = {"writeOnly": True, "format": "password"}


class _Where(Body):
    set_account: bool = Field(
        False, description="Note whose it is, if the session was imported and nobody knows."
    )
    sandbox: bool = Field(False, description="At the local Telegram of the API's home.")


class GivenLogin(_Where):
    """Another login of a session's account."""

    login: str = Field(
        min_length=1,
        max_length=1_000,
        description="A session string of Telethon.",
        examples=["1AZWarz…"],
        json_schema_extra=_SECRET,
    )


class Phone(_Where):
    """The phone of a session's account."""

    phone: str = Field(
        min_length=1,
        max_length=40,
        description="With country code.",
        examples=["+15551234567"],
        json_schema_extra={"writeOnly": True},
    )


class SignInAnswer(Body):
    """What Telegram has asked for: a code, or a password."""

    sign_in: str = Field(
        min_length=1,
        max_length=4_000,
        description="The `sign_in` of the answer before.",
        examples=["v1.0123456789abcdef.…"],
        json_schema_extra=_SECRET,
    )
    code: str = Field(
        "", max_length=40, description="It was sent to the phone.", json_schema_extra=_SECRET
    )
    password: str = Field(
        "",
        max_length=1_000,
        description="Of two-step verification.",
        json_schema_extra=_SECRET,
    )
    sandbox: bool = Field(False, description="At the local Telegram of the API's home.")


@endpoint(router, "POST", "/sessions/{name}/login", sign_in_steps.give, model=SignIn, keyed=False)
async def give_login(request: Request, name: Name, body: GivenLogin) -> Response:
    """Give a session another login of its account; it keeps its rules and its position.

    One that runs is restarted, one whose login was lost runs again.
    """

    def make(context: Context, telegram: Find) -> SignIn:
        return sign_in_steps.give(context, name, body.login, telegram, set_account=body.set_account)

    return await _step(request, make, sandbox=body.sandbox)


@endpoint(
    router, "POST", "/sessions/{name}/sign-in", sign_in_steps.begin, model=SignIn, keyed=False
)
async def begin_sign_in(request: Request, name: Name, body: Phone) -> Response:
    """Let Telegram send a code to a session's phone: the first step to a new login of it.

    The answer holds how far it is, sealed, for the next step within ten minutes.
    """

    def make(context: Context, telegram: Find) -> SignIn:
        return sign_in_steps.begin(
            context, name, body.phone, telegram, set_account=body.set_account
        )

    return await _step(request, make, sandbox=body.sandbox)


@endpoint(
    router,
    "POST",
    "/sessions/{name}/sign-in/answer",
    sign_in_steps.answer,
    model=SignIn,
    keyed=False,
)
async def answer_sign_in(request: Request, name: Name, body: SignInAnswer) -> Response:
    """Give the code, and then the password if the answer says so."""

    def make(context: Context, telegram: Find) -> SignIn:
        return sign_in_steps.answer(
            context, name, body.sign_in, telegram, code=body.code, password=body.password
        )

    return await _step(request, make, sandbox=body.sandbox)


async def _step(
    request: Request, make: Callable[[Context, Find], SignIn], *, sandbox: bool
) -> Response:
    api, context = api_of(request), context_of(request, changes=True)

    def telegram() -> Telegram:
        try:
            return Telegram(*api.servers.telegram(sandbox=sandbox))
        except (ConfigError, UnreachableError) as error:
            raise ConflictError(str(error)) from error

    def work() -> Answer:
        return Answer(200, dumps(make(context, telegram)))

    # It waits for Telegram: reads and changes go on meanwhile.
    answer = await api.threads.ask_strangers(work)
    api.kept.forget()
    note_change(request, answer)
    return respond(answer)
