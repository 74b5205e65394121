"""Sessions show the health of their accounts, since when, and what showed it."""

_UP = (
    "ALTER TABLE sessions ADD COLUMN health VARCHAR(20) NOT NULL DEFAULT 'healthy'"
    " CHECK (health IN ('healthy', 'limited', 'frozen', 'needs_login', 'banned'))",
    "ALTER TABLE sessions ADD COLUMN health_since BIGINT",
    "ALTER TABLE sessions ADD COLUMN health_seen BIGINT",
    "ALTER TABLE sessions ADD COLUMN health_error VARCHAR(200) NOT NULL DEFAULT ''",
    "CREATE INDEX sessions_unhealthy ON sessions (id) WHERE health <> 'healthy'",
)
_DOWN = (
    "DROP INDEX sessions_unhealthy",
    "ALTER TABLE sessions DROP COLUMN health_error",
    "ALTER TABLE sessions DROP COLUMN health_seen",
    "ALTER TABLE sessions DROP COLUMN health_since",
    "ALTER TABLE sessions DROP COLUMN health",
)


def up(migrator, db):
    for statement in _UP:
        db.execute_sql(statement)


def down(migrator, db):
    for statement in _DOWN:
        db.execute_sql(statement)
