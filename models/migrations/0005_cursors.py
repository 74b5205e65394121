"""Where each session has come to, for the day on which Redis forgets it."""

_UP = (
    "CREATE TABLE session_cursors ("
    " session_id INTEGER NOT NULL PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,"
    " fields TEXT NOT NULL, saved_at BIGINT NOT NULL)",
)


def up(migrator, db):
    for statement in _UP:
        db.execute_sql(statement)


def down(migrator, db):
    db.execute_sql("DROP TABLE session_cursors")
