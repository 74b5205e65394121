"""Filters and transforms of rules."""


def up(migrator, db):
    db.execute_sql("""ALTER TABLE rules ADD COLUMN "filter" TEXT NOT NULL DEFAULT '{}'""")
    db.execute_sql("""ALTER TABLE rules ADD COLUMN "transform" TEXT NOT NULL DEFAULT '[]'""")


def down(migrator, db):
    db.execute_sql('ALTER TABLE rules DROP COLUMN "transform"')
    db.execute_sql('ALTER TABLE rules DROP COLUMN "filter"')
