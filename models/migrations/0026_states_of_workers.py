"""How many sessions each node has, by state, from the index alone: `afx status` counts them."""


def up(migrator, db):
    _replace(db, "worker, state")


def down(migrator, db):
    _replace(db, "worker")


def _replace(db, columns):
    db.execute_sql("DROP INDEX session_assignments_worker")
    db.execute_sql(
        f"CREATE INDEX session_assignments_worker ON session_assignments ({columns})"
        " WHERE state <> 'ended'"
    )
