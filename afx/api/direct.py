"""GET requests of the API without the framework's layers, which take longer than the answers.

A request goes directly to its function when the table knows the path and every parameter is
valid. Any other one goes to the framework, whose answers to mistakes are so the only ones.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

from fastapi import params
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

from afx.api.state import context_of
from afx.errors import AfxError

Scope = MutableMapping[str, Any]
OnError = Callable[[Request, Exception], Awaitable[Response]]
_REQUIRED = inspect.Parameter.empty
_MOST_FIELDS = 20


@dataclass(slots=True, frozen=True)
class Get:
    """One route: its path, the function that answers, and the scope that it needs."""

    path: str
    function: Callable[..., Awaitable[Response]]
    scope: str
    owned: bool


@dataclass(slots=True, frozen=True)
class _Argument:
    name: str
    valid: Callable[[Any], Any]
    """Returns the value of a text; raises ValidationError, which is a ValueError."""
    default: Any
    in_path: bool


@dataclass(slots=True, frozen=True)
class _Route:
    get: Get
    pattern: re.Pattern[str]
    arguments: tuple[_Argument, ...]


class Direct:
    """A table of GET routes, and what turns an error into an answer."""

    def __init__(self, app: Any, gets: Iterable[Get], on_error: OnError) -> None:
        self._app = app
        self._on_error = on_error
        routes = [_route(it) for it in gets]
        self._by_pattern = [it for it in routes if it.pattern.groups]
        self._by_path = {
            it.get.path: it
            for it in routes
            # The first that matches answers, as in the framework.
            if not it.pattern.groups and it is _first(routes, it.get.path)
        }

    async def answer(self, scope: Scope) -> Response | None:
        """Return the answer to a GET request; None: the framework is to answer it."""
        found = self._found(scope)
        if found is None:
            return None
        route, values = found
        scope["app"] = self._app
        request = Request(scope)
        try:
            context_of(request).require(route.get.scope, owned=route.get.owned)
            return await route.get.function(request=request, **values)
        except AfxError as error:
            return await self._on_error(request, error)

    def _found(self, scope: Scope) -> tuple[_Route, dict[str, Any]] | None:
        path = scope["path"]
        route = self._by_path.get(path)
        texts: dict[str, str] = {}
        if route is None:
            for it in self._by_pattern:
                if match := it.pattern.match(path):
                    route, texts = it, match.groupdict()
                    break
            else:
                return None
        try:
            query = parse_qsl(
                scope["query_string"].decode("latin-1"),
                keep_blank_values=True,
                max_num_fields=_MOST_FIELDS,
            )
            return route, _values(route.arguments, texts, dict(query))
        except ValueError:
            return None


def _first(routes: Iterable[_Route], path: str) -> _Route | None:
    return next((it for it in routes if it.pattern.match(path)), None)


def _values(
    arguments: Iterable[_Argument], path: Mapping[str, str], query: Mapping[str, str]
) -> dict[str, Any]:
    found = {}
    for it in arguments:
        text = (path if it.in_path else query).get(it.name)
        if text is not None:
            found[it.name] = it.valid(text)
        elif it.default is _REQUIRED:
            raise ValueError("a parameter is missing")
        else:
            found[it.name] = it.default
    return found


def _route(get: Get) -> _Route:
    pattern, _, _ = compile_path(get.path)
    hints = get_type_hints(get.function, include_extras=True)
    arguments = tuple(
        _argument(it, hints[it.name], in_path=it.name in pattern.groupindex)
        for it in inspect.signature(get.function).parameters.values()
        if it.name != "request"
    )
    return _Route(get, pattern, arguments)


def _argument(parameter: inspect.Parameter, hint: Any, *, in_path: bool) -> _Argument:
    metadata = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    wanted = params.Path if in_path else params.Query
    for it in metadata:
        if isinstance(it, params.Param) and (not isinstance(it, wanted) or it.alias):
            raise TypeError(f"{parameter.name} is no plain parameter of a GET route")
    with warnings.catch_warnings():
        # Of what the framework alone uses of a parameter's declaration.
        warnings.simplefilter("ignore")
        adapter: TypeAdapter[Any] = TypeAdapter(hint)
    return _Argument(parameter.name, adapter.validate_python, parameter.default, in_path)
