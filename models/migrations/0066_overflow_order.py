"""The order in which sessions wait in the overflow queue, for lists that are sorted by it."""


def up(migrator, db):
    db.execute_sql(
        "CREATE INDEX session_queue_since_session_id ON session_queue (since, session_id)"
    )


def down(migrator, db):
    db.execute_sql("DROP INDEX session_queue_since_session_id")
