"""Metrics of the whole cluster over time: nodes, sessions, the overflow queue, tasks."""

from peewee import SQL, AutoField, BigIntegerField, Check, FloatField, IntegerField


def up(migrator, db):
    class ClusterAnalytics(db.Model):
        id = AutoField()
        span = IntegerField(constraints=[Check("span IN (60, 3600)")])
        at = BigIntegerField()
        samples = IntegerField(constraints=[SQL("DEFAULT 1")])
        nodes = FloatField()
        desired = FloatField()
        sessions = FloatField()
        sessions_max = IntegerField()
        sessions_limit = FloatField()
        ram_used = BigIntegerField()
        ram_limit = BigIntegerField()
        cpu = FloatField()
        waiting = FloatField()
        waiting_max = IntegerField()
        tasks_open = FloatField()
        tasks_succeeded = IntegerField()
        tasks_failed = IntegerField()
        forwarded = BigIntegerField()

        class Meta:
            table_name = "cluster_analytics"
            indexes = ((("span", "at"), True),)

    db.create_tables([ClusterAnalytics])


def down(migrator, db):
    db.execute_sql("DROP TABLE cluster_analytics")
