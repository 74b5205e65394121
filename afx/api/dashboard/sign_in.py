"""Signing in with a token, and signing out."""

from __future__ import annotations

import time
from urllib.parse import parse_qsl

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from afx.api import cookies
from afx.api.dashboard.pages import environment, inside
from afx.api.state import api_of

router = APIRouter(include_in_schema=False)
_LONGEST = 4_000


@router.get("/sign-in")
async def show_sign_in(request: Request) -> Response:
    """Ask for a token."""
    return _form(inside(request.query_params.get("next", "/")))


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Give a browser a cookie of its own for a valid token, and lead it where it wanted to go."""
    body: bytes = request.state.body[:_LONGEST]
    try:
        form = dict(parse_qsl(body.decode("ascii", "replace"), max_num_fields=10))
    except ValueError:
        return _form("/", "The form is not valid; enter the token again.", 422)
    place = inside(form.get("next", "/"))
    credentials = api_of(request).credentials
    token = await credentials.bearer(form.get("token", "").strip())
    if token is None:
        return _form(place, "This token is not valid: it is wrong, expired or revoked.", 401)
    text, _ = cookies.seal(token.accessor, credentials.keys, time.time())
    response = RedirectResponse(place, 303)
    response.set_cookie(
        cookies.name_of(request.url.scheme),
        text,
        max_age=cookies.LIFE_SECONDS,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
        path="/",
    )
    return response


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """End this browser's sign-in for good."""
    found = getattr(request.state, "sign_in", None)
    if found is not None:
        await api_of(request).credentials.sign_out(found)
    response = RedirectResponse("/sign-in", 303)
    scheme = request.url.scheme
    response.delete_cookie(
        cookies.name_of(scheme),
        path="/",
        httponly=True,
        samesite="lax",
        secure=scheme == "https",
    )
    return response


def _form(place: str, mistake: str = "", status: int = 200) -> Response:
    text = environment.get_template("sign_in.html").render(next=place, mistake=mistake)
    return HTMLResponse(text, status)
