"""How many sessions hibernated, in the cluster's minutes and hours."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE cluster_analytics ADD COLUMN hibernated REAL NOT NULL DEFAULT 0")


def down(migrator, db):
    db.execute_sql("ALTER TABLE cluster_analytics DROP COLUMN hibernated")
