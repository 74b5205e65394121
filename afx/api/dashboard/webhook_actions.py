"""What a person may do from a page to webhooks and their deliveries."""

from __future__ import annotations

from afx.api.dashboard.action import Action, Field, number_of
from afx.operations import webhooks


def _number(text: str) -> int:
    return number_of(text, "delivery")


WEBHOOK_ACTIONS = (
    Action(
        "webhook.add",
        "New webhook",
        "plus",
        webhooks.add,
        lambda context, _, form: webhooks.add(
            context,
            form["name"],
            form["url"].strip(),
            kinds=form.get("kinds", "").split(),
            owner=form.get("owner", ""),
        ),
        "The URL is told of events. Requests are signed with a secret, which is shown once.",
        "webhook add",
        "POST",
        "/webhooks",
        (
            Field("name", "Name", hint="What it is for."),
            Field("url", "URL", hint="https://HOST/PATH, at a public address."),
            Field(
                "kinds",
                "Kinds of events",
                "lines",
                required=False,
                hint=f"One a line; empty: all. They are {', '.join(webhooks.KINDS)}.",
                flag="--kind",
            ),
            Field(
                "owner",
                "Owner",
                required=False,
                hint="A user: it is told of this user's sessions only.",
                flag="--owner",
            ),
        ),
        back="/webhooks",
    ),
    Action(
        "webhook.test",
        "Test",
        "check",
        webhooks.test,
        lambda context, target, _: f"delivery {webhooks.test(context, target)} waits to be sent",
        "An event that only tries the webhook is sent to it.",
        "webhook test",
        "POST",
        "/webhooks/{}/test",
    ),
    Action(
        "webhook.resume",
        "Resume",
        "running",
        webhooks.resume,
        lambda context, target, _: f"webhook {webhooks.resume(context, target)} is active",
        "It is told of events again. What failed can be sent again.",
        "webhook resume",
        "POST",
        "/webhooks/{}/resume",
    ),
    Action(
        "webhook.rotate",
        "New secret",
        "key",
        webhooks.rotate,
        lambda context, target, _: webhooks.rotate(context, target),
        "The new secret is shown once. The old one signs beside it for a day.",
        "webhook rotate",
        "POST",
        "/webhooks/{}/rotate",
    ),
    Action(
        "webhook.remove",
        "Remove",
        "x",
        webhooks.remove,
        lambda context, target, _: f"webhook {webhooks.remove(context, target)} is removed",
        "It is told of nothing any more; what waits for it is deleted.",
        "webhook remove",
        "DELETE",
        "/webhooks/{}",
        destroys=True,
        back="/webhooks",
    ),
    Action(
        "delivery.redeliver",
        "Redeliver",
        "refresh",
        webhooks.redeliver,
        lambda context, target, _: (
            f"delivery {webhooks.redeliver(context, _number(target)).id} waits to be sent"
        ),
        "It is sent again, with all its attempts; the receiver knows it by its id.",
        "webhook redeliver",
        "POST",
        "/webhook-deliveries/{}/redeliver",
    ),
)
