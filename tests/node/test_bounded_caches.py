"""What a session remembers does not grow with those who write in its chats."""

from __future__ import annotations

import gc

from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import one_rule, texts

from afx.sandbox.telegram.peers import Channel

CHATS, DAYS = 400, 7
_OURS = ("telethon", "afx.node", "afx.telegram", "afx.forwarding")


def remembered() -> int:
    """Return how many objects of Telethon and of the node there are."""
    gc.collect()
    return sum(type(it).__module__.startswith(_OURS) for it in gc.get_objects())


def test_seven_days_of_400_busy_chats_with_new_authors_leave_nothing_behind() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        world, pushes = sandbox.server.world, sandbox.server.pushes
        groups: list[Channel] = [
            world.add_channel(f"group {it}", megagroup=True, members=[account.id])
            for it in range(CHATS)
        ]
        wanted = {"filter": {"words": ["wanted"]}}
        rules = ((source, *groups), to, "copy", wanted)
        session = harness.session(account, rules)
        await session.start()
        stored, boxes = session._stored, session.reader.channels
        sizes: list[tuple[int, int]] = []
        for day in range(DAYS):
            for number, group in enumerate(groups):
                author = world.add_account().id
                message, event = world.post(group, author, f"small talk of day {day}")
                if number % 8:
                    pushes.channel_event(group, event, message)
                else:  # a difference names its authors, with their access hashes
                    session.reader.sync_later(boxes[group.id])
            message, event = world.post(source, world.add_account().id, f"wanted {day}")
            pushes.channel_event(source, event, message)
            await until(lambda: all(boxes[it.id].cursor == it.box.pts for it in groups))
            await until(lambda day=day: len(texts(to)) == day + 1)
            harness.commit(session)
            session.note_committed()
            sizes.append((remembered(), len(stored.hashes)))
        assert {hashes for _, hashes in sizes} == {CHATS + 2}
        (first, _), (last, _) = sizes[1], sizes[-1]
        assert last < first * 1.02, sizes
        await session.stop()

    run_scenario(scenario)
