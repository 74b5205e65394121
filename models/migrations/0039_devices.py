"""Sessions may have a device of their own, with which they were imported."""

from afx.errors import ConflictError


def up(migrator, db):
    db.execute_sql("ALTER TABLE sessions ADD COLUMN device TEXT NOT NULL DEFAULT ''")


def down(migrator, db):
    query = "SELECT COUNT(*) FROM sessions WHERE device <> ''"
    if count := db.execute_sql(query).fetchone()[0]:
        raise ConflictError(
            f"{count} session(s) have a device of their own, and would connect as another one "
            "without this migration; remove them ('afx session remove NAME'), then downgrade again."
        )
    db.execute_sql("ALTER TABLE sessions DROP COLUMN device")
