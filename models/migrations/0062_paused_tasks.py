"""Tasks are paused: a state of its own, and a mark of those that are to be paused.

SQLite cannot change the condition of a column, so a new column replaces the old one.
"""

_OLD_STATES = "'waiting', 'queued', 'published', 'running', 'succeeded', 'failed', 'cancelled'"
_STATES = f"{_OLD_STATES}, 'paused'"
_OLD_OPEN = "'waiting', 'queued', 'published', 'running'"
_OPEN = f"{_OLD_OPEN}, 'paused'"
_INDEXES = (
    "workertask_kind_state",
    "worker_tasks_queued",
    "worker_tasks_waiting",
    "worker_tasks_session",
    "worker_tasks_given_out",
    "worker_tasks_unique",
    "worker_tasks_start_by",
)


def _states(states, open_ones):
    return (
        *(f"DROP INDEX {it}" for it in _INDEXES),
        "ALTER TABLE worker_tasks ADD COLUMN stage VARCHAR(10) NOT NULL DEFAULT 'queued'"
        f" CHECK (stage IN ({states}))",
        "UPDATE worker_tasks SET stage = state WHERE state <> 'queued'",
        "ALTER TABLE worker_tasks DROP COLUMN state",
        "ALTER TABLE worker_tasks RENAME COLUMN stage TO state",
        "CREATE INDEX workertask_kind_state ON worker_tasks (kind, state)",
        "CREATE INDEX worker_tasks_queued ON worker_tasks (priority, user_id, id)"
        " WHERE state = 'queued'",
        "CREATE INDEX worker_tasks_waiting ON worker_tasks (run_after) WHERE state = 'waiting'",
        "CREATE INDEX worker_tasks_session ON worker_tasks (session_id, id)"
        " WHERE state IN ('waiting', 'published', 'running')",
        "CREATE INDEX worker_tasks_given_out ON worker_tasks (id)"
        " WHERE state IN ('published', 'running')",
        "CREATE UNIQUE INDEX worker_tasks_unique ON worker_tasks (unique_key)"
        f" WHERE state IN ({open_ones})",
        "CREATE INDEX worker_tasks_start_by ON worker_tasks (start_by)"
        " WHERE start_by IS NOT NULL AND state IN ('waiting', 'queued')",
    )


def up(migrator, db):
    for statement in _states(_STATES, _OPEN):
        db.execute_sql(statement)
    db.execute_sql("ALTER TABLE worker_tasks ADD COLUMN pausing BOOLEAN NOT NULL DEFAULT FALSE")


def down(migrator, db):
    db.execute_sql("ALTER TABLE worker_tasks DROP COLUMN pausing")
    db.execute_sql(
        "UPDATE worker_tasks SET state = 'cancelled', error = 'it was paused',"
        " finished_at = run_after WHERE state = 'paused'"
    )
    for statement in _states(_OLD_STATES, _OLD_OPEN):
        db.execute_sql(statement)
