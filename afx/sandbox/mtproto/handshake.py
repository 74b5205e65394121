"""Key exchange: req_pq … set_client_DH_params, the server's side.

Source: core.telegram.org/mtproto/auth_key.
"""

from __future__ import annotations

import os
import time
from hashlib import sha1
from typing import Any

from telethon import helpers
from telethon.crypto import AES
from telethon.crypto import AuthKey as TelethonKey
from telethon.extensions import BinaryReader
from telethon.tl import functions, types

from afx.sandbox.mtproto.crypto import AuthKey, ServerKey, new_salt

# Two known primes: the exchange needs a product that a client can factor.
_P, _Q = 0x494C553B, 0x53911073
DH_PRIME = int(
    "c71caeb9c6b1c9048e6c522f70f13f73980d40238e3e21c14934d037563d930f"
    "48198a0aa7c14058229493d22530f4dbfa336f6e0ac925139543aed44cce7c37"
    "20fd51f69458705ac68cd4fe6b6b13abdc9746512969328454f18faf8c595f64"
    "2477fe96bb2a941d5bcd1d4ac8cc49880708fa9b378e3c4f3a9060bee67cf9a4"
    "a4a695811051907e162753b56b0f6b410dba74d8a84b2a14b3144e0ef1284754"
    "fd17ed950d5965b4b9dd46582db1178d169c6bc465b0d6ff9ca3928fef5b9ae4"
    "e418fc15e83ebea0f87fa9ff5eed70050ded2849f47bf959d956850ce929851f"
    "0d8115f635b105ee2e4e15d04b2454bf6f4fadf034b10403119cd8e3b92fcc5b",
    16,
)


class HandshakeError(Exception):
    """The client's half of the exchange is wrong; the connection is closed."""


class Handshake:
    """One key exchange on one connection; ``key`` is set when it is done."""

    __slots__ = ("_a", "_iv", "_new_nonce", "_nonce", "_server_key", "_server_nonce", "_tmp", "key")

    def __init__(self, server_key: ServerKey) -> None:
        self._server_key = server_key
        self._nonce = self._server_nonce = self._new_nonce = 0
        self._a = 0
        self._tmp = self._iv = b""
        self.key: AuthKey | None = None

    def answer(self, request: Any) -> bytes:
        """Answer one unencrypted request of the exchange.

        Raises HandshakeError when the request is not part of it.
        """
        if isinstance(request, functions.ReqPqMultiRequest | functions.ReqPqRequest):
            return self._res_pq(request)
        if getattr(request, "nonce", None) != self._nonce:
            raise HandshakeError("wrong nonce")
        if isinstance(request, functions.ReqDHParamsRequest):
            return self._dh_params(request)
        if isinstance(request, functions.SetClientDHParamsRequest):
            return self._dh_done(request)
        raise HandshakeError(f"unexpected {type(request).__name__}")

    def _res_pq(self, request: Any) -> bytes:
        self._nonce = request.nonce
        self._server_nonce = int.from_bytes(os.urandom(16), "big", signed=True)
        pq = (_P * _Q).to_bytes(8, "big")
        fingerprints = [self._server_key.fingerprint]
        return bytes(types.ResPQ(self._nonce, self._server_nonce, pq, fingerprints))

    def _dh_params(self, request: Any) -> bytes:
        block = self._server_key.decrypt(request.encrypted_data)
        with BinaryReader(block[20:]) as reader:
            inner = reader.tgread_object()
            size = reader.tell_position()
        if sha1(block[20 : 20 + size]).digest() != block[:20]:
            raise HandshakeError("wrong hash of the inner data")
        if (inner.nonce, inner.server_nonce) != (self._nonce, self._server_nonce):
            raise HandshakeError("wrong nonce in the inner data")
        self._new_nonce = inner.new_nonce
        self._tmp, self._iv = helpers.generate_key_data_from_nonce(
            self._server_nonce, self._new_nonce
        )
        self._a = int.from_bytes(os.urandom(256), "big")
        g_a = pow(3, self._a, DH_PRIME)
        answer = bytes(
            types.ServerDHInnerData(
                nonce=self._nonce,
                server_nonce=self._server_nonce,
                g=3,
                dh_prime=DH_PRIME.to_bytes(256, "big"),
                g_a=g_a.to_bytes(256, "big"),
                server_time=int(time.time()),
            )
        )
        plain = sha1(answer).digest() + answer
        plain += os.urandom(-len(plain) % 16)
        return bytes(
            types.ServerDHParamsOk(
                self._nonce, self._server_nonce, AES.encrypt_ige(plain, self._tmp, self._iv)
            )
        )

    def _dh_done(self, request: Any) -> bytes:
        if not self._a:
            raise HandshakeError("no exchange under way")
        plain = AES.decrypt_ige(request.encrypted_data, self._tmp, self._iv)
        with BinaryReader(plain[20:]) as reader:
            inner = reader.tgread_object()
        shared = pow(int.from_bytes(inner.g_b, "big"), self._a, DH_PRIME)
        data = shared.to_bytes(256, "big")
        theirs = TelethonKey(data)
        if not data[0]:
            # Telethon strips leading zero bytes of the key: ask for another.
            digest = theirs.calc_new_nonce_hash(self._new_nonce, 2)
            return bytes(types.DhGenRetry(self._nonce, self._server_nonce, digest))
        self.key = AuthKey(data, new_salt())
        digest = theirs.calc_new_nonce_hash(self._new_nonce, 1)
        return bytes(types.DhGenOk(self._nonce, self._server_nonce, digest))
