"""Chunks of an outbox that a flushed Redis gets back from SQL after they were sent."""

from __future__ import annotations

from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import StoredLinks, one_rule, say, texts


def test_what_sql_brings_back_of_an_outbox_leaves_redis_again() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, slow = one_rule(sandbox)
        said = [f"message {number}" for number in range(300)]
        say(sandbox, source, "before")
        session = harness.session(account, (source, slow, "copy"))
        await session.start()
        chunk = f"outbox:{slow.marked}:0"
        cursors = {**harness.commit(session), chunk: f"1:c:{source.marked}:2-201"}
        await session.stop()
        say(sandbox, source, *said)
        cursors[f"channel:{source.id}"] = str(source.box.pts)
        # A node goes on with the outbox, and empties it.
        session = harness.session(account, (source, slow, "copy"), cursors=cursors)
        await session.start()
        await until(lambda: len(texts(slow)) == 200)
        harness.progress = dict(cursors)
        await until(lambda: chunk not in harness.commit(session))
        session.note_committed()
        # Redis is flushed; SQL's older copy comes back (HSETNX), the node writes all it knows.
        session.mark_all_dirty()
        now = session.collect_uncommitted()
        fields = dict(zip(now.cursor[::2], now.cursor[1::2], strict=True))
        harness.progress = {it: text for it, text in {**cursors, **fields}.items() if text}
        await session.stop()
        # The links' days are over when it is started again, and Telegram has forgotten.
        harness.links = StoredLinks()
        for it in sandbox.server.world.accounts.values():
            it.sent.clear()
        again = harness.session(account, (source, slow, "copy"), cursors=dict(harness.progress))
        await again.start()
        say(sandbox, source, "the last one")
        await until(lambda: "the last one" in texts(slow))
        await again.stop()
        assert len(texts(slow)) == len(set(texts(slow))), f"{len(texts(slow))} copies"

    run_scenario(scenario)
