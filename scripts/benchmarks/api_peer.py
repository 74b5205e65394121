"""The peer of the API's benchmark: the same page as plain ``def``, ORM objects and models."""

from __future__ import annotations

import sys
import threading
from datetime import datetime

import uvicorn
from fastapi import FastAPI
from peewee import JOIN
from pydantic import BaseModel, ConfigDict

from models import base
from models.tables import Session, SessionAssignment, User


class Row(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: int
    name: str
    user: str
    tier: str
    desired_state: str
    state: str
    node: str | None
    created_at: datetime


class Rows(BaseModel):
    items: list[Row]


app = FastAPI()
_CONNECTIONS = threading.Semaphore(6)


@app.get("/sessions", response_model=Rows)
def sessions(limit: int = 20) -> Rows:
    if not base.is_postgres():
        base.proxy.connect(reuse_if_open=True)
        return _page(limit)
    # The pool has fewer connections than FastAPI has threads, and does not wait for one.
    with _CONNECTIONS, base.proxy.connection_context():
        return _page(limit)


def _page(limit: int) -> Rows:
    query = (
        Session.select(Session, User, SessionAssignment)
        .join(User)
        .switch(Session)
        .join(
            SessionAssignment,
            JOIN.LEFT_OUTER,
            on=(SessionAssignment.session == Session.id) & (SessionAssignment.state != "ended"),
            attr="active",
        )
        .order_by(Session.name)
        .limit(limit)
    )
    return Rows(
        items=[
            Row(
                id=it.id,
                name=it.name,
                user=it.user.name,
                tier=it.user.tier,
                desired_state=it.desired_state,
                state=it.active.state if getattr(it, "active", None) else "unplaced",
                node=it.active.worker if getattr(it, "active", None) else None,
                created_at=it.created_at,
            )
            for it in query
        ]
    )


if __name__ == "__main__":
    base.open_database(sys.argv[1])
    uvicorn.run(app, port=int(sys.argv[2]), log_level="warning", access_log=False)
