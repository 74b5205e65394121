"""What a person may do from a page to users."""

from __future__ import annotations

from afx.api.dashboard.action import Action, Field
from afx.errors import UsageError
from afx.operations import users


def _whole(text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 10:
        raise UsageError("A share and a limit are whole numbers; correct them.")
    return int(text)


def _said_tasks(user: users.UserDetail) -> str:
    limit = "no limit" if user.task_limit is None else f"at most {user.task_limit}"
    return f"share {user.task_share}, {limit} unfinished tasks"


_TIER = Field("tier", "Tier", "select", ("free", "premium"), flag="--tier", value="free")
USER_ACTIONS = (
    Action(
        "user.add",
        "Add a user",
        "plus",
        users.add,
        lambda context, _, form: users.add(context, form["name"], form["tier"]),
        "A user owns sessions. Sessions of premium users are placed first.",
        "user add",
        "POST",
        "/users",
        (Field("name", "Name"), _TIER),
        back="/users",
    ),
    Action(
        "user.tier",
        "Tier",
        "premium",
        users.set_tier,
        lambda context, target, form: users.set_tier(context, target, form["tier"]),
        "It takes effect when the user's sessions are placed next.",
        "user tier",
        "PATCH",
        "/users/{}",
        (Field("tier", "Tier", "select", ("free", "premium"), value="premium"),),
    ),
    Action(
        "user.tasks",
        "Tasks",
        "letters",
        users.set_task_share,
        lambda context, target, form: _said_tasks(
            users.set_task_share(
                context,
                target,
                share=_whole(form.get("share", "")),
                limit=_whole(form.get("limit", "")),
            )
        ),
        "Its share says how many of its tasks run for each one of a user with share 1.",
        "user tasks",
        "PATCH",
        "/users/{}",
        (
            Field(
                "share",
                "Share",
                required=False,
                hint="1 to 100; empty: as it is.",
                flag="--share",
                to="task_share",
                shape="number",
            ),
            Field(
                "limit",
                "Unfinished tasks at most",
                required=False,
                hint="0: as many as others; empty: as it is.",
                flag="--limit",
                to="task_limit",
                shape="number",
            ),
        ),
    ),
    Action(
        "user.remove",
        "Remove",
        "x",
        users.remove,
        lambda context, target, _: users.remove(context, target),
        "The user and the user's tokens are deleted. A user who owns sessions stays.",
        "user remove",
        "DELETE",
        "/users/{}",
        destroys=True,
    ),
)
