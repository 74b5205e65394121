"""No later option of a rule changes its digests."""

from __future__ import annotations

import pytest
from support.digests import Bench
from support.following import settled
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import say, texts

from afx.coordinator.checkpoints import _FIELD
from afx.node.digested import Digested
from afx.node.references import Reference
from afx.sandbox.judge.flow import delete, edit
from afx.telegram.session import MalformedPositionError


def test_no_edit_or_delete_changes_a_digest_when_the_rule_follows_them_later() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        it = Bench(sandbox)
        session = await it.start()
        say(sandbox, it.source, "one", "two", "three")
        await settled(session, it.source)
        await it.send(session)
        before = texts(it.to)
        it.more = {"options": {}, "sync": ("edits", "deletes")}
        session = await it.restart(session)
        say(sandbox, it.source, "four")
        await until(lambda: len(texts(it.to)) == 2)
        edit(sandbox.server, it.source.marked, 0, 1, "uno")
        delete(sandbox.server, it.source.marked, 0, [2, 3])
        edit(sandbox.server, it.source.marked, 0, 4, "cuatro")
        await until(lambda: texts(it.to) == [*before, "cuatro"])
        await session.stop()
        session.mark_all_dirty()
        stored = it.harness.commit(session)
        name = f"digested:1:{it.source.marked}"
        assert stored[name] == "3" and _FIELD.fullmatch(f"{name}=3")

    run_scenario(scenario)


def test_it_is_stored_once_more_after_a_failure_and_a_loss_and_is_read_again() -> None:
    made = Digested()
    for rule, message in ((1, 7), (1, 5), (2, 3)):
        made.note(Reference(rule, "copy", -5, message).delivery(-6))
    fields = ["digested:1:-5", "7", "digested:2:-5", "3"]
    assert made.take_fields() == fields
    made.put_back()
    assert made.take_fields() == fields and not made.take_fields()
    made.mark_all()
    assert made.take_fields() == fields
    again = Digested()
    stored = {**dict(zip(fields[::2], fields[1::2], strict=True)), "account": "1:0:0"}
    again.load(stored)
    assert stored == {"account": "1:0:0"} and not again.take_fields()
    copies = [Reference(1, "copy", -5, it, op="edit").delivery(-6) for it in (7, 8)]
    assert [again.covers(it) for it in copies] == [True, False]
    for name, text in (("digested:x:-5", "7"), ("digested:1:-5", "x")):
        with pytest.raises(MalformedPositionError):
            Digested().load({name: text})
