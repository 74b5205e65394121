"""What clients other than Telethon need: RSA_PAD, transports, a key that stays."""

from __future__ import annotations

import os
import struct
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from support.sandbox import SandboxHarness, run_scenario
from telethon.crypto import AES, rsa
from telethon.network import ConnectionTcpIntermediate, ConnectionTcpObfuscated
from telethon.network.connection.tcpintermediate import RandomizedIntermediatePacketCodec

from afx.sandbox import process
from afx.sandbox.mtproto.crypto import ServerKey
from afx.sandbox.mtproto.transport import Framer, FramingError


class PaddedCodec(RandomizedIntermediatePacketCodec):  # type: ignore[misc]
    tag = b"\xdd\xdd\xdd\xdd"


class ConnectionTcpPadded(ConnectionTcpIntermediate):  # type: ignore[misc]
    packet_codec = PaddedCodec


def rsa_pad(key: ServerKey, data: bytes) -> bytes:
    """Encrypt as core.telegram.org/mtproto/auth_key says (RSA_PAD)."""
    padded = data + os.urandom(192 - len(data))
    while True:
        temp_key = os.urandom(32)
        with_hash = padded[::-1] + sha256(temp_key + padded).digest()
        encrypted = AES.encrypt_ige(with_hash, temp_key, bytes(32))
        mask = sha256(encrypted).digest()
        block = bytes(a ^ b for a, b in zip(temp_key, mask, strict=True)) + encrypted
        number = int.from_bytes(block, "big")
        if number < key.n:
            return pow(number, key.e, key.n).to_bytes(256, "big")


def test_keys_are_exchanged_with_rsa_pad(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        key = sandbox.server.rsa
        used: list[int] = []

        def encrypt(fingerprint: int, data: bytes, **options: Any) -> bytes:
            used.append(fingerprint)
            return rsa_pad(key, data)

        monkeypatch.setattr(rsa, "encrypt", encrypt)
        client = await sandbox.client()
        await client.send_code_request("99966123")
        await client.sign_in("99966123", sandbox.server.sign_ins.code("99966123"))
        assert used == [key.fingerprint]

    run_scenario(scenario)


def test_data_that_was_not_encrypted_for_the_server_is_refused() -> None:
    key = ServerKey()
    assert key.decrypt(rsa_pad(key, b"data"))[:4] == b"data"
    for block in (b"", bytes(256), rsa_pad(ServerKey(), b"data")):
        with pytest.raises(ValueError, match=r"hash|block"):
            key.decrypt(block)


@pytest.mark.parametrize("transport", [ConnectionTcpObfuscated, ConnectionTcpPadded])
def test_a_client_may_use_any_transport(transport: type) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        client = await sandbox.client(connection=transport)
        await client.send_code_request("99966123")
        me = await client.sign_in("99966123", sandbox.server.sign_ins.code("99966123"))
        assert (await client.get_me()).id == me.id

    run_scenario(scenario)


def test_a_request_for_a_quick_acknowledgment_is_read_as_a_packet() -> None:
    packet = bytes(range(40))
    intermediate = b"\xee" * 4 + struct.pack("<I", len(packet) | 1 << 31) + packet
    abridged = b"\xef" + bytes([len(packet) // 4 | 0x80]) + packet
    assert list(Framer().feed(intermediate)) == [packet]
    assert list(Framer().feed(abridged)) == [packet]


def test_a_stream_of_no_transport_is_refused() -> None:
    with pytest.raises(FramingError, match="no transport"):
        list(Framer().feed(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n" + bytes([1] * 64)))


def test_the_key_of_a_home_stays_the_same_and_is_not_readable_by_others(tmp_path: Path) -> None:
    first = ServerKey(process._private_key(tmp_path))
    again = ServerKey(process._private_key(tmp_path))
    assert again.fingerprint == first.fingerprint
    assert (tmp_path / process.KEY_FILE).stat().st_mode & 0o077 == 0


def test_a_key_is_printed_in_every_form_that_clients_want() -> None:
    key = ServerKey()
    forms = process.public_key(key)
    assert int(forms["n"], 16) == key.n
    assert (forms["e"], len(forms["fingerprint"])) == (65537, 16)
    assert forms["public_key"].startswith("-----BEGIN RSA PUBLIC KEY-----")


def test_what_is_no_rsa_key_is_refused() -> None:
    with pytest.raises(ValueError, match=r".*"):
        ServerKey(b"no key")
