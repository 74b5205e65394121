"""When sessions got their login, and after how many days without use it ends."""

_UP = (
    "ALTER TABLE sessions ADD COLUMN login_at BIGINT",
    "ALTER TABLE sessions ADD COLUMN login_days INTEGER",
)
_DOWN = (
    "ALTER TABLE sessions DROP COLUMN login_days",
    "ALTER TABLE sessions DROP COLUMN login_at",
)


def up(migrator, db):
    for statement in _UP:
        db.execute_sql(statement)


def down(migrator, db):
    for statement in _DOWN:
        db.execute_sql(statement)
