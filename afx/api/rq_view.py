"""rq-dashboard under the sign-in, and read-only: what RQ's own tools say of the queues.

It was made for a trusted network, so here it may do less than it would:

- It reads through a client that sends no command which writes: its pages remove entries from
  queues while they show them, and one of its GETs queues jobs again.
- A job's call, its metadata and its results are not read: they would be unpickled.
- What it shows is escaped before it gets it: its scripts put texts into pages as markup.
- Only its pages and its data are served, and a page has 200 jobs at most.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any, NoReturn

import orjson
import redis
from a2wsgi import WSGIMiddleware
from redis.client import Pipeline
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.queue import Queue
from rq.serializers import JSONSerializer
from rq.worker import Worker
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from afx.api.state import api_of, context_of
from afx.errors import ForbiddenError, NotFoundError
from afx.operations.context import Servers

PREFIX = "/rq"
_THREADS = 2
_CONNECTIONS = 2
_POLL_MILLISECONDS = 5000
_PER_PAGE = r"(?:[1-9]\d?|1\d\d|200)"
_LIST = rf"[^/]{{1,200}}/[a-z]{{1,20}}/{_PER_PAGE}/(?:asc|dsc)/[1-9]\d{{0,6}}"
_PAGES = re.compile(
    r"/|/favicon\.ico|/(?:static|own)/[\w./-]+|/0/(?:view(?:/(?:queues|workers|jobs))?)?"
    rf"|/0/view/(?:job/[^/]{{1,200}}|jobs/{_LIST})"
    rf"|/0/data/(?:queues|workers|job/[^/]{{1,200}}|jobs/{_LIST})\.json"
)
_READS = frozenset(
    (
        *("EXISTS", "TYPE", "TTL", "PTTL", "PING", "GET", "MGET"),
        *("HEXISTS", "HGET", "HGETALL", "HLEN", "HMGET"),
        *("LINDEX", "LLEN", "LPOS", "LRANGE", "SCARD", "SISMEMBER", "SMEMBERS"),
        *("ZCARD", "ZCOUNT", "ZRANGE", "ZRANGEBYSCORE", "ZREVRANGE", "ZSCORE"),
        *("XLEN", "XRANGE", "XREVRANGE"),
    )
)
_SHOWN = frozenset(
    (
        *("created_at", "enqueued_at", "started_at", "ended_at", "last_heartbeat"),
        *("description", "origin", "status", "timeout", "worker_name"),
    )
)
"""The fields of a job that are read."""
_HIDDEN = b"\n#empty-btn, #compact-btn, #requeue-all-btn, [data-role$=-job-btn], .btn-toolbar "
_STYLE = _HIDDEN + b"{ display: none !important; }\n"


class _ReadOnlyPipeline(Pipeline):
    def execute_command(self, *args: Any, **options: Any) -> Any:
        if not _is_read(args):
            raise ForbiddenError("This view changes nothing.")
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


class _ReadOnly(redis.Redis):
    """Answers 0 to what would write: RQ tidies up while it reads, and goes on without."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if not _is_read(args):
            return 0
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:
        return _ReadOnlyPipeline(
            self.connection_pool, self.response_callbacks, transaction, shard_hint
        )


class _ShownJob(Job):  # type: ignore[misc]
    def __init__(
        self, id: str | None = None, connection: Any = None, serializer: Any = None
    ) -> None:
        del serializer
        super().__init__(id, connection, JSONSerializer)

    def restore(self, raw_data: Mapping[bytes, bytes]) -> Any:
        shown = {k: it for k, it in raw_data.items() if k.decode("latin-1") in _SHOWN}
        return super().restore({**shown, b"data": b""})

    def latest_result(self, *_: Any, **__: Any) -> None:
        return None

    def return_value(self, *_: Any, **__: Any) -> None:
        return None

    def get_meta(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {}

    def get_call_string(self) -> str:
        return str(self.description or "")


class _ShownQueue(Queue):  # type: ignore[misc]
    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **{**given, "job_class": _ShownJob, "serializer": JSONSerializer})

    def fetch_job(self, job_id: str) -> _ShownJob | None:
        try:
            job: _ShownJob = _ShownJob.fetch(job_id, self.connection)
        except (NoSuchJobError, ValueError, TypeError):
            return None  # no job, such as what wakes a node, or a malformed one
        return job if job.origin == self.name else None


class _ShownWorker(Worker):  # type: ignore[misc]
    job_class = _ShownJob
    queue_class = _ShownQueue

    def __init__(self, *args: Any, **given: Any) -> None:
        own = {"job_class": _ShownJob, "queue_class": _ShownQueue, "serializer": JSONSerializer}
        super().__init__(*args, **{**given, **own})


class RqView:
    """The mounted view; it is made when somebody looks first: Flask takes a while to import."""

    def __init__(self) -> None:
        self._app: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a GET of one of its pages, for who may read queues."""
        request = Request(scope, receive)
        context_of(request).require("queue:read")
        if request.method not in ("GET", "HEAD"):
            text = "This view changes nothing: use the page Queues."
            await Response(text, 405, {"allow": "GET, HEAD"})(scope, receive, send)
            return
        if not _PAGES.fullmatch(scope["path"].removeprefix(PREFIX)):
            raise NotFoundError("There is nothing at this path.")
        if self._app is None:
            api = api_of(request)
            self._app = await api.threads.long(lambda: _made(api.servers))
        await self._app(scope, receive, send)


def _made(servers: Servers) -> WSGIMiddleware:
    pool = servers.redis().connection_pool
    options = {**pool.connection_kwargs, "decode_responses": False}
    client = _ReadOnly(
        connection_pool=redis.BlockingConnectionPool(  # type: ignore[no-untyped-call]
            connection_class=pool.connection_class, max_connections=_CONNECTIONS, **options
        )
    )
    return WSGIMiddleware(_flask(client), workers=_THREADS)


def _flask(client: redis.Redis) -> Any:
    from flask import Flask, current_app
    from rq_dashboard import web

    web.config.serializer = JSONSerializer
    web.Job, web.Queue, web.Worker = _ShownJob, _ShownQueue, _ShownWorker
    web.requeue_job = _refused
    web.from_url = lambda *_, **__: (None, current_app.redis_conn)
    # Its static files and Flask's own would have the same address.
    app = Flask("rq_dashboard", static_url_path="/own")
    app.config.update(
        RQ_DASHBOARD_REDIS_URL=("of this cluster",),
        RQ_DASHBOARD_DISABLE_DELETE=True,
        RQ_DASHBOARD_POLL_INTERVAL=_POLL_MILLISECONDS,
        PROPAGATE_EXCEPTIONS=False,
    )
    app.url_map.redirect_defaults = False  # they would lead to where the Host header says
    app.redis_conn = client
    app.register_blueprint(web.blueprint)
    app.after_request(_tamed)
    return app


def _tamed(response: Any) -> Any:
    """Return a response whose texts are escaped, and without the buttons that change things."""
    if response.is_json:
        response.set_data(orjson.dumps(_escaped(orjson.loads(response.get_data()))))
    elif response.status_code == 200 and response.mimetype == "text/css":
        response.direct_passthrough = False
        response.set_data(response.get_data() + _STYLE)
    return response


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return html.escape(value)
    if isinstance(value, list):
        return [_escaped(it) for it in value]
    if isinstance(value, dict):
        return {name: _escaped(it) for name, it in value.items()}
    return value


def _is_read(args: tuple[Any, ...]) -> bool:
    return bool(args) and str(args[0]).upper() in _READS


def _refused(*_: Any, **__: Any) -> NoReturn:
    raise ForbiddenError("This view changes nothing: use the page Queues.")
