"""Specs of sessions: signed, and worth nothing for another session, epoch or content."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.specs import SIGNING_KEYS

from afx.cluster.generation_proof import claimed, prove, proved
from afx.cluster.specs import RefusedSpecError, RuleSpec, SessionSpec, open_spec, seal_spec
from afx.reasons import FailureReason
from afx.security.signing import SigningKeys

RULE = RuleSpec(3, ("@news",), ("-1001", "@copies"), "copy")
FILTERED = RuleSpec(4, ("@news",), ("-1001",), "copy", {"contains": ["a"]}, ({"strip": ["links"]},))
FOLLOWING = replace(RULE, id=5, sync=("edits", "pins"))
ONCE = replace(RULE, id=6, options={"dedupe": 60})
SPEC = SessionSpec(7, "naïve", "free", "sealed", (RULE,), epoch=5, revision=2)


def refusal(stored: str, *, session_id: int = 7, epoch: int = 5) -> FailureReason:
    with pytest.raises(RefusedSpecError) as caught:
        open_spec(SIGNING_KEYS, stored, session_id=session_id, epoch=epoch)
    return caught.value.reason


def resigned(fields: object) -> str:
    """Return any content with a valid signature: a coordinator of another version."""
    text = json.dumps(fields)
    return f"{SIGNING_KEYS.sign(b'afx spec', text.encode()).decode()} {text}"


def test_a_spec_is_read_as_it_was_signed() -> None:
    stored = seal_spec(SIGNING_KEYS, SPEC)
    assert open_spec(SIGNING_KEYS, stored, session_id=7, epoch=5) == SPEC


def test_what_proves_a_generation_is_read_as_it_was_signed_and_is_of_no_other_one() -> None:
    proof = prove(SIGNING_KEYS, 12)
    assert (claimed(proof), proved(SIGNING_KEYS, proof)) == (12, 12)
    assert proof != prove(SIGNING_KEYS, 12), "two terms may have begun one generation"
    stored = seal_spec(SIGNING_KEYS, replace(SPEC, proof=proof))
    assert open_spec(SIGNING_KEYS, stored, session_id=7, epoch=5).proof == proof
    number, _, rest = proof.partition(" ")
    for forged in (f"13 {rest}", f"{number}  {rest}", proof[:-1], f"{proof}é", "12", "", "é 1 2"):
        assert proved(SIGNING_KEYS, forged) == 0
    assert proved(SigningKeys([b"another"]), proof) == 0


def test_filters_and_transforms_are_read_as_they_were_signed() -> None:
    spec = replace(SPEC, rules=(RULE, FILTERED, FOLLOWING, ONCE))
    assert open_spec(SIGNING_KEYS, seal_spec(SIGNING_KEYS, spec), session_id=7, epoch=5) == spec


def test_a_node_that_knows_no_filters_refuses_a_spec_that_has_one() -> None:
    """It reads the rules under the name that they have always had."""
    plain, filtered, once = (
        json.loads(seal_spec(SIGNING_KEYS, replace(SPEC, rules=rules)).partition(" ")[2])
        for rules in ((RULE,), (RULE, FILTERED), (FILTERED, ONCE))
    )
    assert "rules" in plain
    assert "rules" not in filtered and "rules_with_filters" in filtered
    assert not {"rules", "rules_with_filters"} & set(once), "nor does one that knows no options"


def test_a_proxy_is_read_as_it_was_signed_and_a_node_that_knows_none_refuses_the_spec() -> None:
    """It looks for the login under the name that it has always had."""
    spec = replace(SPEC, proxy=3, sealed_proxy="sealed too")
    stored = seal_spec(SIGNING_KEYS, spec)
    assert open_spec(SIGNING_KEYS, stored, session_id=7, epoch=5) == spec
    fields = json.loads(stored.partition(" ")[2])
    assert "login" not in fields
    for damage in ({"proxy": 0}, {"proxy": "3"}, {"sealed_proxy": ""}, {"sealed_proxy": None}):
        assert refusal(resigned({**fields, **damage})) is FailureReason.SPEC_INVALID
    del fields["proxy"]
    assert refusal(resigned(fields)) is FailureReason.SPEC_INVALID


@pytest.mark.parametrize("proxy", [0, 3])
def test_a_device_is_read_as_it_was_signed_and_a_node_that_knows_none_refuses_the_spec(
    proxy: int,
) -> None:
    spec = replace(SPEC, sealed_device="sealed", proxy=proxy, sealed_proxy="x" if proxy else "")
    stored = seal_spec(SIGNING_KEYS, spec)
    assert open_spec(SIGNING_KEYS, stored, session_id=7, epoch=5) == spec
    fields = json.loads(stored.partition(" ")[2])
    assert not {"login", "login_behind_proxy"} & set(fields)
    assert refusal(resigned({**fields, "sealed_device": ""})) is FailureReason.SPEC_INVALID
    if proxy:
        del fields["sealed_proxy"]
        assert refusal(resigned(fields)) is FailureReason.SPEC_INVALID


def test_a_destination_that_was_added_in_redis_is_refused() -> None:
    stored = seal_spec(SIGNING_KEYS, SPEC)
    changed = stored.replace('"@copies"', '"@copies","@mallory"')
    assert changed != stored
    assert refusal(changed) is FailureReason.SPEC_INVALID


def test_a_spec_without_a_signature_is_refused() -> None:
    assert refusal(json.dumps(asdict(SPEC))) is FailureReason.SPEC_INVALID


def test_the_spec_of_another_session_is_refused() -> None:
    stored = seal_spec(SIGNING_KEYS, replace(SPEC, session=8))
    assert refusal(stored) is FailureReason.SPEC_INVALID


def test_the_spec_of_an_earlier_assignment_is_refused() -> None:
    stored = seal_spec(SIGNING_KEYS, replace(SPEC, epoch=4))
    assert refusal(stored) is FailureReason.SPEC_OUTDATED


def test_the_signature_of_a_job_signs_no_spec() -> None:
    text = json.dumps(asdict(SPEC))
    signature = SIGNING_KEYS.sign(b"afx job", text.encode()).decode()
    assert refusal(f"{signature} {text}") is FailureReason.SPEC_INVALID


def test_a_spec_of_another_cluster_is_refused() -> None:
    stored = seal_spec(SigningKeys([b"another"]), SPEC)
    assert refusal(stored) is FailureReason.SPEC_INVALID


def test_hosts_that_list_their_keys_in_another_order_read_each_others_specs() -> None:
    stored = seal_spec(SigningKeys([b"a", b"b"]), SPEC)
    assert open_spec(SigningKeys([b"b", b"a"]), stored, session_id=7, epoch=5) == SPEC


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda it: st.lists(it, max_size=3) | st.dictionaries(st.text(max_size=5), it, max_size=3),
)


@given(JSON, st.sampled_from(sorted(asdict(SPEC))) | st.none())
def test_signed_content_of_an_unknown_form_is_refused(value: object, field: str | None) -> None:
    fields = value if field is None else {**asdict(SPEC), field: value}
    try:
        spec = open_spec(SIGNING_KEYS, resigned(fields), session_id=7, epoch=5)
    except RefusedSpecError:
        return
    assert (spec.session, spec.epoch) == (7, 5)
    assert all(isinstance(it, str) for it in (spec.name, spec.tier, spec.login))


@given(
    st.text(max_size=200) | st.text(max_size=200).map(lambda it: f"1.{'0' * 16}.{'0' * 64} {it}")
)
def test_no_text_in_redis_is_taken_for_a_spec(stored: str) -> None:
    assert refusal(stored) is FailureReason.SPEC_INVALID


def test_since_when_an_account_is_new_is_read_as_it_was_signed() -> None:
    spec = replace(SPEC, new_since=1_700_000_000, new_seconds=604_800)
    stored = seal_spec(SIGNING_KEYS, spec)
    assert open_spec(SIGNING_KEYS, stored, session_id=7, epoch=5) == spec
    assert '"new"' not in seal_spec(SIGNING_KEYS, SPEC)
