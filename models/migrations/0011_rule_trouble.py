"""Why a rule does not forward all that it should, as its node reports."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE rules ADD COLUMN trouble TEXT NOT NULL DEFAULT ''")


def down(migrator, db):
    db.execute_sql("ALTER TABLE rules DROP COLUMN trouble")
