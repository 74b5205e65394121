"""The sessions that rules name as their senders, in SQL."""

from __future__ import annotations

from datetime import timedelta

from models.base import utc_now
from models.storage import hibernation, placing, rules, senders, sessions, users
from models.storage.sessions import NewSession
from models.tables import Session


def test_senders_are_sessions_of_the_rules_user_only(ids: list[int]) -> None:
    owner = sessions.find("s0")
    sessions.create(users.create("other"), NewSession("strange", "sealed", "strange"))
    named = rules.create(owner, ["-1"], ["-2"], options={"senders": ["s2", "strange", "none"]})
    plain = rules.create(owner, ["-1"], ["-2"])
    assert senders.ids_of([named, plain]) == {named.id: {"s2": ids[2]}}
    assert senders.ids_of([plain]) == {}
    assert senders.names_of([ids[1], 999]) == {ids[1]: "s1"}
    found = senders.named(["s1", "none", "strange"])
    assert {name: it.id for name, it in found.items()} == {
        "s1": ids[1],
        "strange": sessions.find("strange").id,
    }


def test_a_session_that_a_rule_names_as_its_sender_is_placed_without_a_rule_of_its_own(
    ids: list[int],
) -> None:
    def placed() -> set[str]:
        return {it.name for it in placing.unplaced(10)}

    for it in list(rules.for_sessions(ids).values()):
        rules.remove(it[0])
    assert not placed()
    rule = rules.create(sessions.find("s0"), ["-1"], ["-2"], options={"senders": ["s2"]})
    assert placed() == {"s0", "s2"}
    assert placing.standing(ids)[ids[2]].has_rule
    rules.change(rule, options={"senders": ["s1"]})
    assert placed() == {"s0", "s1"}
    rule = rules.find(str(rule.id))
    rules.change(rule, enabled=False)
    assert not placed()
    rule = rules.find(str(rule.id))
    rules.change(rule, enabled=True)
    assert placed() == {"s0", "s1"}
    rules.remove(rule)
    assert not placed()


def test_a_session_that_is_removed_with_its_rules_needs_its_senders_no_more(
    ids: list[int],
) -> None:
    for it in list(rules.for_sessions(ids).values()):
        rules.remove(it[0])
    rules.create(sessions.find("s0"), ["-1"], ["-2"], options={"senders": ["s1", "s2"]})
    rules.create(sessions.find("s1"), ["-1"], ["-2"], options={"senders": ["s2"]})
    user = sessions.find("s0").user_id
    assert senders.named_by([ids[0]]) == {user: {"s1", "s2"}}
    sessions.remove_many([ids[0]])
    assert [sessions.find(it).sends for it in ("s1", "s2")] == [0, 1]
    assert sessions.remove_unused(sessions.find("s1"))
    assert not sessions.find("s2").sends
    assert senders.named_by([]) == {}


def test_the_senders_of_a_user_are_renewed_by_the_users_id(ids: list[int]) -> None:
    owner = sessions.find("s0")
    rules.create(owner, ["-1"], ["-2"], options={"senders": ["s2"]})
    Session.update(sends=0).execute()
    senders.renew_of_user(owner.user_id, ["s1", "s2"])
    assert [sessions.find(it).sends for it in ("s1", "s2")] == [0, 1]


def test_a_sender_that_hibernates_for_want_of_a_rule_wakes(ids: list[int]) -> None:
    [rule] = rules.for_sessions(ids[2:])[ids[2]]
    rules.remove(rule)
    soon = utc_now() + timedelta(days=1)
    hibernation.begin([(ids[2], sessions.find("s2").revision, soon)], "no_rule")
    senders.renew(ids[0], [])
    assert sessions.find("s2").hibernation == "no_rule"
    rules.create(sessions.find("s0"), ["-1"], ["-2"], options={"senders": ["s2"]})
    found = sessions.find("s2")
    assert (found.hibernation, found.desired_state) == ("", "running")
    assert not hibernation.without_rule(ids[1], None, utc_now() + timedelta(days=1))


def content_of(session: int) -> int:
    content: int = Session.get_by_id(session).content
    return content


def test_a_rule_uses_a_sender_that_is_removed_and_added_again(ids: list[int]) -> None:
    owner = sessions.find("s0")
    rule = rules.create(owner, ["-1"], ["-2"], options={"senders": ["s1", "s2"]})
    before = content_of(ids[0])
    assert senders.by_user([ids[1], ids[2]]) == {owner.user_id: ["s1", "s2"]}
    sessions.remove_many([ids[1]])
    assert content_of(ids[0]) == before + 1, "its node is told without a restart"
    again = sessions.create(owner.user, sessions.NewSession("s1", "login", "again"))
    assert content_of(ids[0]) == before + 2
    assert senders.ids_of([rule])[rule.id] == {"s1": again.id, "s2": ids[2]}
    assert Session.get_by_id(again.id).sends == 1


def test_sessions_that_no_rule_names_change_nothing_when_they_come_and_go(ids: list[int]) -> None:
    owner = sessions.find("s0")
    rules.create(owner, ["-1"], ["-2"], options={"senders": ["s2"]})
    before = content_of(ids[0])
    sessions.remove_many([ids[1]])
    senders.appeared_or_left(owner.user_id, ["s1"])
    assert content_of(ids[0]) == before
