"""What placement heeds: required labels, activity, when a session was moved."""

_UP = (
    "ALTER TABLE sessions ADD COLUMN requires TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE sessions ADD COLUMN active_at BIGINT",
    "ALTER TABLE sessions ADD COLUMN moved_at BIGINT",
    "CREATE INDEX sessions_moved_at ON sessions (moved_at)",
    "ALTER TABLE workers ADD COLUMN labels TEXT NOT NULL DEFAULT '{}'",
)
_DOWN = (
    "ALTER TABLE workers DROP COLUMN labels",
    "DROP INDEX sessions_moved_at",
    "ALTER TABLE sessions DROP COLUMN moved_at",
    "ALTER TABLE sessions DROP COLUMN active_at",
    "ALTER TABLE sessions DROP COLUMN requires",
)


def up(migrator, db):
    for statement in _UP:
        db.execute_sql(statement)


def down(migrator, db):
    for statement in _DOWN:
        db.execute_sql(statement)
