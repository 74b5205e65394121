"""One more kind of control: a node's host process is replaced in place.

SQLite cannot change the condition of a column, so a new column replaces the old one.
"""

_OLD_KINDS = (
    "'cordon', 'uncordon', 'drain', 'stop', 'recycle', 'move', 'pause', 'resume', 'remove',"
    " 'hibernate', 'wake'"
)


def up(migrator, db):
    _set_kinds(db, f"{_OLD_KINDS}, 'replace'")


def down(migrator, db):
    db.execute_sql("DELETE FROM worker_controls WHERE kind = 'replace'")
    _set_kinds(db, _OLD_KINDS)


def _set_kinds(db, kinds):
    for statement in (
        "ALTER TABLE worker_controls ADD COLUMN verb VARCHAR(10) NOT NULL DEFAULT 'move'"
        f" CHECK (verb IN ({kinds}))",
        "UPDATE worker_controls SET verb = kind",
        "ALTER TABLE worker_controls DROP COLUMN kind",
        "ALTER TABLE worker_controls RENAME COLUMN verb TO kind",
    ):
        db.execute_sql(statement)
