"""All routes: of the REST API, and of the dashboard."""

from __future__ import annotations

from afx.api.dashboard import (
    action_routes,
    assets,
    dead_views,
    proxy_views,
    record_views,
    rule_views,
    sign_in,
    task_views,
    views,
    webhook_views,
)
from afx.api.routes import (
    controls,
    dead_letters,
    proxies,
    queues,
    records,
    rule_texts,
    rule_trials,
    rules,
    scaling,
    schedules,
    session_changes,
    sessions,
    system,
    tasks,
    tokens,
    users,
    webhooks,
    workers,
)

ROUTERS = (
    users.router,
    sessions.router,
    session_changes.router,
    proxies.router,
    rules.router,
    rule_texts.router,
    rule_trials.router,
    dead_letters.router,
    workers.router,
    controls.router,
    records.router,
    tokens.router,
    tasks.router,
    schedules.router,
    queues.router,
    webhooks.router,
    scaling.router,
    system.router,
)
DASHBOARD = (
    assets.router,
    sign_in.router,
    action_routes.router,
    views.router,
    dead_views.router,
    rule_views.router,
    record_views.router,
    task_views.router,
    webhook_views.router,
    proxy_views.router,
)
