"""Signatures: nothing but what a key in force has signed is accepted."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from afx.security.signing import SignatureError, SigningKeys
from afx.security.vault import Vault

OLD, NEW = b"o" * 32, b"n" * 32


def test_what_was_signed_is_accepted() -> None:
    keys = SigningKeys([NEW])
    keys.verify(b"job", b"text", keys.sign(b"job", b"text"))


@given(st.integers(0, 82), st.integers(1, 255))
def test_a_signature_with_one_byte_changed_is_refused(position: int, change: int) -> None:
    keys = SigningKeys([NEW])
    signature = bytearray(keys.sign(b"job", b"text"))
    signature[position] ^= change
    with pytest.raises(SignatureError):
        keys.verify(b"job", b"text", bytes(signature))


@given(st.binary(max_size=100))
def test_random_bytes_are_not_a_signature(signature: bytes) -> None:
    with pytest.raises(SignatureError):
        SigningKeys([NEW]).verify(b"job", b"text", signature)


def test_changed_text_and_another_context_are_refused() -> None:
    keys = SigningKeys([NEW])
    signature = keys.sign(b"job", b"text")
    for context, text in [(b"job", b"texT"), (b"spec", b"text"), (b"job\0t", b"ext")]:
        with pytest.raises(SignatureError, match="does not match"):
            keys.verify(context, text, signature)


def test_hosts_whose_keys_are_in_different_orders_accept_each_other() -> None:
    one, other = SigningKeys([NEW, OLD]), SigningKeys([OLD, NEW])
    other.verify(b"job", b"text", one.sign(b"job", b"text"))
    one.verify(b"job", b"text", other.sign(b"job", b"text"))


def test_a_key_that_is_not_in_force_is_named_as_the_cause() -> None:
    with pytest.raises(SignatureError, match="same secret keys"):
        SigningKeys([NEW]).verify(b"job", b"text", SigningKeys([OLD]).sign(b"job", b"text"))


def test_an_unknown_version_is_refused() -> None:
    keys = SigningKeys([NEW])
    with pytest.raises(SignatureError, match="unknown version"):
        keys.verify(b"job", b"text", b"2" + keys.sign(b"job", b"text")[1:])


def test_vaults_derive_the_same_keys_whatever_their_order() -> None:
    new, old = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    assert Vault([new, old]).signing_keys() == Vault([old, new]).signing_keys()[::-1]
