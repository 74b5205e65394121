"""Signed specs, as a coordinator with the tests' key writes them."""

from __future__ import annotations

from dataclasses import replace

from afx.cluster.specs import RuleSpec, SessionSpec, seal_spec
from afx.security.signing import SigningKeys
from afx.security.vault import Vault

KEY = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="
SIGNING_KEYS = SigningKeys(Vault([KEY]).signing_keys())


def stored_spec(
    session_id: int,
    epoch: int,
    *,
    login: str = "unsealable",
    rules: tuple[RuleSpec, ...] = (),
    sealed_proxy: str = "",
    sealed_device: str = "",
    proof: str = "",
) -> str:
    """Return a session's spec as Redis has it; ``sealed_proxy`` is sealed for proxy 1."""
    spec = SessionSpec(session_id, "s", "free", login, rules, epoch=epoch, revision=1)
    spec = replace(spec, sealed_device=sealed_device, proof=proof)
    if sealed_proxy:
        spec = replace(spec, proxy=1, sealed_proxy=sealed_proxy)
    return seal_spec(SIGNING_KEYS, spec)
