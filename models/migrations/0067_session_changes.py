"""Changes of many sessions, and what came of each session."""

from peewee import PostgresqlDatabase

_TABLES = (
    "CREATE TABLE session_changes ("
    " id {id} PRIMARY KEY, token_id INTEGER NOT NULL, actor VARCHAR(100) NOT NULL,"
    " owner VARCHAR(100) NOT NULL, verb VARCHAR(10) NOT NULL, node VARCHAR(100) NOT NULL,"
    " reason TEXT NOT NULL, state VARCHAR(10) NOT NULL"
    " CHECK (state IN ('running', 'done', 'cancelled', 'failed')),"
    " matched INTEGER NOT NULL, count INTEGER NOT NULL, requested INTEGER NOT NULL,"
    " done INTEGER NOT NULL, refused INTEGER NOT NULL, next VARCHAR(100), note TEXT NOT NULL,"
    " created_at BIGINT NOT NULL, finished_at BIGINT)",
    "CREATE TABLE session_change_items ("
    " id {id} PRIMARY KEY,"
    " change_id INTEGER NOT NULL REFERENCES session_changes (id) ON DELETE CASCADE,"
    " position INTEGER NOT NULL, session VARCHAR(100) NOT NULL, state VARCHAR(10) NOT NULL"
    " CHECK (state IN ('waiting', 'requested', 'done', 'refused', 'cancelled')),"
    " control INTEGER, note TEXT NOT NULL)",
    "CREATE INDEX session_changes_running ON session_changes (id) WHERE state = 'running'",
    "CREATE INDEX session_changes_finished_at ON session_changes (finished_at)",
    "CREATE UNIQUE INDEX session_change_items_change_id_position"
    " ON session_change_items (change_id, position)",
)


def up(migrator, db):
    is_postgres = isinstance(db, PostgresqlDatabase)
    for statement in _TABLES:
        db.execute_sql(statement.format(id="SERIAL" if is_postgres else "INTEGER NOT NULL"))


def down(migrator, db):
    db.execute_sql("DROP TABLE session_change_items")
    db.execute_sql("DROP TABLE session_changes")
