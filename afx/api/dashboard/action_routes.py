"""The dialog of an action, and doing it."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import parse_qsl

import structlog
from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from afx.api import problems
from afx.api.dashboard.action import Action, Form, outcome
from afx.api.dashboard.actions import ACTIONS
from afx.api.dashboard.as_request import curl_of
from afx.api.dashboard.pages import back, environment, inside, page
from afx.api.messages import Said
from afx.api.replies import plain
from afx.api.state import api_of, token_of
from afx.errors import AfxError, ForbiddenError, NotFoundError, UnreachableError, UsageError
from afx.operations.context import Context

router = APIRouter(include_in_schema=False)
_MOST_FIELDS = 20
_LONGEST_FIELD = 20_000
_MOST_TARGETS = 200
_MOST_LOGGED = 20
_MOST_SHOWN = 10

log = structlog.get_logger()


@router.get("/actions/{name}")
async def show_dialog(request: Request, name: str) -> Response:
    """Show what an action does, and ask for what it needs; a page of its own without scripts."""
    action = _action(name)
    targets = request.query_params.getlist("target")[:_MOST_TARGETS]

    def read(context: Context) -> dict[str, object]:
        _check_allowed(context, action)
        found = _dialog(action, targets, inside(request.query_params.get("back", "/")))
        if action.preview is not None and targets:
            with suppress(UnreachableError, NotFoundError):  # what is done does not need it
                preview = action.preview(context, targets[0])
                found.update(preview=preview.text, seen=preview.seen, values=preview.values)
                found["name"] = action.named(context, targets[0])
                found.update(_same(action, targets, {"seen": preview.seen, **preview.values}))
        return found

    part = request.headers.get("hx-request") == "true"
    return await page(request, "dialog.html" if part else "action.html", read)


@router.post("/actions/{name}/same")
async def show_same(request: Request, name: str) -> Response:
    """Return what a form asks for as a command and as a request; nothing is done."""
    action = _action(name)
    form, targets = _form(request.state.body)

    def read(context: Context) -> dict[str, str]:
        _check_allowed(context, action)
        given = {it.name: form.get(it.name, "") for it in action.fields}  # off, if it is absent
        return _same(action, targets, {**form, **given}, form.get("reason", "").strip())

    return await plain(request, read)


@router.post("/actions/{name}")
async def run_action(request: Request, name: str) -> Response:
    """Do it to each target, and say what came of it on the page from which it was chosen."""
    action = _action(name)
    form, targets = _form(request.state.body)
    place = inside(action.back or form.get("back", "/"))
    actor, api = token_of(request).actor, api_of(request)
    context = Context(actor, api.servers, reason=form.get("reason", "").strip(), exact=True)
    if action.destroys and form.get("typed", "") != _to_type(action, targets):
        raise UsageError(f"The typed name is not '{_to_type(action, targets)}'; nothing was done.")

    def work() -> Said:
        done: list[str] = []
        secret = ""
        names = [_name(action, context, it) for it in targets[:3]]
        for target in targets or [""]:
            try:
                text, secret = outcome(action.run(context, target, form))
            except AfxError as error:
                which = f": {target}" if done else ""
                title = f"{action.label} refused{which}"
                return Said("crit", title, " ".join([*done, str(error)]))
            done.append(text)
        said = done[0] if len(done) == 1 else f"{len(done)} sessions. {done[-1]}"
        return Said(
            "ok",
            f"{action.label}: {', '.join(names) or form.get('name', 'done')}",
            said,
            secret,
        )

    run = api.threads.long if action.takes_long else api.threads.change
    said = await (api.threads.ask_strangers if action.asks_strangers else run)(work)
    api.credentials.forget()
    api.kept.forget()
    log.info(
        "changed",
        request=request.state.request,
        actor=actor.name,
        what=name,
        targets=targets[:_MOST_LOGGED],
        refused=said.tone == "crit",
    )
    if said.tone == "crit":
        place = inside(form.get("back", "/"))
    return await back(request, place, said)


def _action(name: str) -> Action:
    action = ACTIONS.get(name)
    if action is None:
        raise HTTPException(404)
    return action


def _check_allowed(context: Context, action: Action) -> None:
    if not action.allowed(context.actor):
        raise ForbiddenError(f"{context.actor.name} may not do this; use a token with the scope.")


def _name(action: Action, context: Context, target: str) -> str:
    """Return how people know a target; what is not found has no other name."""
    try:
        return action.named(context, target)
    except AfxError:
        return target


def _dialog(action: Action, targets: list[str], place: str) -> dict[str, object]:
    target = targets[0] if targets else ""
    return {
        "action": action,
        "targets": targets,
        "back": place,
        "typed": _to_type(action, targets),
        "name": target,
        "preview": "",
        "seen": "",
        "values": {},
        **_same(action, targets, {}),
    }


def _same(action: Action, targets: list[str], form: Form, reason: str = "") -> dict[str, str]:
    """Return what a form asks for as commands and as requests, one for each target."""
    some = targets[:_MOST_SHOWN] or [""]
    more = f"\n# and {len(targets) - len(some)} more" if len(targets) > len(some) else ""
    return {
        "command": "\n".join(action.as_command(it, form, reason) for it in some) + more,
        "curl": "\n".join(curl_of(action, it, form, reason) for it in some) + more,
    }


def _to_type(action: Action, targets: list[str]) -> str:
    if len(targets) > 1:
        return f"{len(targets)} sessions"
    return targets[0] if targets else action.name.partition(".")[0]


def _form(body: bytes) -> tuple[dict[str, str], list[str]]:
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS + _MOST_TARGETS
        )
    except ValueError as error:
        raise UsageError("The form is not valid; open the page again.") from error
    if any(len(value) > _LONGEST_FIELD for _, value in pairs):
        raise UsageError("A field is too long; shorten it.")
    targets = [value for name, value in pairs if name == "target"]
    if len(targets) > _MOST_TARGETS:
        raise UsageError(f"At most {_MOST_TARGETS} sessions at once; choose fewer.")
    return {name: value for name, value in pairs if name != "target"}, targets


def error_page(request: Request, error: AfxError) -> Response:
    """Return an error as a page, for what a browser has sent."""
    kind = problems.kind_of(error)
    text = environment.get_template("problem.html").render(
        title=kind.title, detail=str(error), request_id=request.state.request
    )
    return HTMLResponse(text, kind.status)
