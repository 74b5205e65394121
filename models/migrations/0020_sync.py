"""What rules follow in their copies: edits, deletes, pins."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE rules ADD COLUMN sync TEXT NOT NULL DEFAULT '[]'")


def down(migrator, db):
    db.execute_sql("ALTER TABLE rules DROP COLUMN sync")
