"""Sessions may have a device of their own, with which they were imported."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE sessions ADD COLUMN device TEXT NOT NULL DEFAULT ''")


def down(migrator, db):
    db.execute_sql("ALTER TABLE sessions DROP COLUMN device")
