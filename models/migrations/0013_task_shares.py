"""Users' shares of the queues of tasks, and how many unfinished tasks each may have."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE users ADD COLUMN task_share INTEGER NOT NULL DEFAULT 1")
    db.execute_sql("ALTER TABLE users ADD COLUMN task_limit INTEGER")


def down(migrator, db):
    db.execute_sql("ALTER TABLE users DROP COLUMN task_limit")
    db.execute_sql("ALTER TABLE users DROP COLUMN task_share")
