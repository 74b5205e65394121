"""Sessions hibernate: a desired state of its own, why, and when they wake; two kinds of control.

SQLite cannot change the condition of a column, so a new column replaces the old one.
"""

_STATES = "'running', 'paused', 'hibernated'"
_OLD_STATES = "'running', 'paused'"
_REASONS = "'', 'requested', 'no_rule', 'quiet'"
_OLD_KINDS = "'cordon', 'uncordon', 'drain', 'stop', 'recycle', 'move', 'pause', 'resume', 'remove'"
_KINDS = f"{_OLD_KINDS}, 'hibernate', 'wake'"
_UP = (
    "ALTER TABLE sessions ADD COLUMN hibernation VARCHAR(10) NOT NULL DEFAULT ''"
    f" CHECK (hibernation IN ({_REASONS}))",
    "ALTER TABLE sessions ADD COLUMN wakes_at BIGINT",
    "ALTER TABLE sessions ADD COLUMN awake_at BIGINT",
    "CREATE INDEX sessions_hibernated ON sessions (wakes_at) WHERE desired_state = 'hibernated'",
    "CREATE INDEX sessions_awake ON sessions (id) WHERE awake_at IS NOT NULL",
)
_DOWN = (
    "DROP INDEX sessions_awake",
    "DROP INDEX sessions_hibernated",
    "ALTER TABLE sessions DROP COLUMN awake_at",
    "ALTER TABLE sessions DROP COLUMN wakes_at",
    "ALTER TABLE sessions DROP COLUMN hibernation",
    "UPDATE sessions SET desired_state = 'running' WHERE desired_state = 'hibernated'",
    "DELETE FROM worker_controls WHERE kind IN ('hibernate', 'wake')",
)


def _desired_states(states):
    return (
        "DROP INDEX sessions_paused",
        "ALTER TABLE sessions ADD COLUMN desired VARCHAR(10) NOT NULL DEFAULT 'running'"
        f" CHECK (desired IN ({states}))",
        "UPDATE sessions SET desired = desired_state WHERE desired_state <> 'running'",
        "ALTER TABLE sessions DROP COLUMN desired_state",
        "ALTER TABLE sessions RENAME COLUMN desired TO desired_state",
        "CREATE INDEX sessions_paused ON sessions (id) WHERE desired_state = 'paused'",
    )


def _control_kinds(kinds):
    return (
        "ALTER TABLE worker_controls ADD COLUMN verb VARCHAR(10) NOT NULL DEFAULT 'move'"
        f" CHECK (verb IN ({kinds}))",
        "UPDATE worker_controls SET verb = kind",
        "ALTER TABLE worker_controls DROP COLUMN kind",
        "ALTER TABLE worker_controls RENAME COLUMN verb TO kind",
    )


def up(migrator, db):
    for statement in (*_desired_states(_STATES), *_control_kinds(_KINDS), *_UP):
        db.execute_sql(statement)


def down(migrator, db):
    for statement in (*_DOWN, *_desired_states(_OLD_STATES), *_control_kinds(_OLD_KINDS)):
        db.execute_sql(statement)
