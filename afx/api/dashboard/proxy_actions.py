"""What a person may do from a page to proxies, and to the way by which a session connects."""

from __future__ import annotations

from afx.api.dashboard.action import Action, Field, Form
from afx.api.dashboard.labels import labels_of
from afx.operations import proxies, proxy_checks
from afx.operations.context import Context


def _add(context: Context, _: str, form: Form) -> str:
    proxies.add(
        context,
        form["name"],
        form["url"].strip(),
        pool=form.get("pool", ""),
        requires=labels_of(form.get("requires", "")),
    )
    return f"proxy {form['name']} is added; check it before sessions get it"


def _check(context: Context, target: str, _: Form) -> str:
    found = proxy_checks.check(context, [target] if target else [])
    failing = [it for it in found if it.error]
    if not failing:
        took = f" after {found[0].milliseconds} ms" if len(found) == 1 else ""
        return f"Telegram answers through {target or f'all {len(found)}'}{took}"
    first = failing[0]
    return f"{len(failing)} of {len(found)} fail; {first.name}: {first.error}"


def _assign(context: Context, target: str, form: Form) -> str:
    session, proxy, changed = proxies.assign(
        context,
        target,
        proxy=form.get("proxy", ""),
        pool=form.get("pool", ""),
        none=bool(form.get("direct")),
    )
    way = f"through proxy {proxy}" if proxy else "directly"
    return f"session {session} connects {way}{'' if changed else ' already'}"


PROXY_ACTIONS = (
    Action(
        "proxy.add",
        "New proxy",
        "plus",
        proxies.add,
        _add,
        "Sessions can connect through it and in no other way. Its address is stored encrypted.",
        "proxy add",
        "POST",
        "/proxies",
        (
            Field("name", "Name"),
            Field(
                "url",
                "Address",
                "secret",
                hint="socks5://USER:PASSWORD@HOST:PORT, http://…, mtproxy://SECRET@HOST:PORT, or "
                "a link of Telegram for one.",
            ),
            Field(
                "pool",
                "Pool",
                required=False,
                hint="Sessions may get any proxy of a pool.",
                flag="--pool",
            ),
            Field(
                "requires",
                "Labels of nodes that reach it",
                "lines",
                required=False,
                hint="KEY=VALUE, one a line; empty: all nodes.",
                flag="--require",
                shape="labels",
            ),
        ),
        back="/proxies",
    ),
    Action(
        "proxy.check",
        "Check",
        "check",
        proxy_checks.check,
        _check,
        "Telegram is asked through it, from the machine of the API, without an account.",
        "proxy check",
        "POST",
        "/proxy-checks",
        asks_strangers=True,
        body=lambda target: {"names": [target]},
    ),
    Action(
        "proxy.remove",
        "Remove",
        "x",
        proxies.remove,
        lambda context, target, _: f"proxy {proxies.remove(context, target)} is removed",
        "One that sessions have stays.",
        "proxy remove",
        "DELETE",
        "/proxies/{}",
        destroys=True,
        back="/proxies",
    ),
    Action(
        "session.proxy",
        "Proxy",
        "moving",
        proxies.assign,
        _assign,
        "It connects by this way only, wherever it runs. One that runs is restarted.",
        "session set",
        "POST",
        "/sessions/{}/proxy",
        (
            Field("proxy", "Proxy", required=False, hint="Its name.", flag="--proxy"),
            Field(
                "pool",
                "Or a pool",
                required=False,
                hint="The proxy of it which fewest sessions have.",
                flag="--pool",
            ),
            Field("direct", "Or directly", "check", required=False, flag="--no-proxy"),
        ),
    ),
)
