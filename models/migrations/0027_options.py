"""What else rules do: dedupe and the like."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE rules ADD COLUMN options TEXT NOT NULL DEFAULT '{}'")


def down(migrator, db):
    db.execute_sql("ALTER TABLE rules DROP COLUMN options")
