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

from afx.sandbox import dh
from afx.sandbox.mtproto.auth_key import AuthKey
from afx.sandbox.mtproto.crypto import ServerKey
from afx.sandbox.mtproto.outgoing import Outgoing

# Two known primes: the exchange needs a product that a client can factor.
_P, _Q = 0x494C553B, 0x53911073


class HandshakeError(Exception):
    """The client's half of the exchange is wrong; the connection is closed."""


class Handshake:
    """One key exchange on one connection; ``key`` is set when it is done."""

    __slots__ = (
        "_a",
        "_iv",
        "_new_nonce",
        "_nonce",
        "_server_key",
        "_server_nonce",
        "_tmp",
        "ids",
        "key",
    )

    def __init__(self, server_key: ServerKey) -> None:
        self._server_key = server_key
        self.ids = Outgoing()
        """Numbers the unencrypted answers."""
        self._nonce = self._server_nonce = self._new_nonce = 0
        self._a = 0
        self._tmp = self._iv = b""
        self.key: AuthKey | None = None

    def answer(self, data: bytes) -> bytes:
        """Answer one unencrypted request of the exchange.

        Raises HandshakeError when the request is not part of it.
        """
        request, _ = _read(data)
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
        try:
            inner, _ = _read(self._server_key.decrypt(request.encrypted_data))
        except ValueError as error:
            raise HandshakeError(f"wrong inner data: {error}") from error
        if not isinstance(inner, types.PQInnerData | types.PQInnerDataDc):
            raise HandshakeError(f"unexpected inner data {type(inner).__name__}")
        if (inner.nonce, inner.server_nonce) != (self._nonce, self._server_nonce):
            raise HandshakeError("wrong nonce in the inner data")
        self._new_nonce = inner.new_nonce
        self._tmp, self._iv = helpers.generate_key_data_from_nonce(
            self._server_nonce, self._new_nonce
        )
        self._a = int.from_bytes(os.urandom(256), "big")
        g_a = pow(dh.GENERATOR, self._a, dh.PRIME)
        answer = bytes(
            types.ServerDHInnerData(
                nonce=self._nonce,
                server_nonce=self._server_nonce,
                g=dh.GENERATOR,
                dh_prime=dh.PRIME.to_bytes(256, "big"),
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
        if not self._a or len(request.encrypted_data) % 16:
            raise HandshakeError("no exchange under way, or data of a wrong length")
        plain = AES.decrypt_ige(request.encrypted_data, self._tmp, self._iv)
        inner, _ = _read(plain[20:])
        if not isinstance(inner, types.ClientDHInnerData):
            raise HandshakeError(f"unexpected inner data {type(inner).__name__}")
        shared = pow(int.from_bytes(inner.g_b, "big"), self._a, dh.PRIME)
        data = shared.to_bytes(256, "big")
        theirs = TelethonKey(data)
        if not data[0]:
            # Telethon strips leading zero bytes of the key: ask for another.
            digest = theirs.calc_new_nonce_hash(self._new_nonce, 2)
            return bytes(types.DhGenRetry(self._nonce, self._server_nonce, digest))
        self.key = AuthKey(data)
        digest = theirs.calc_new_nonce_hash(self._new_nonce, 1)
        return bytes(types.DhGenOk(self._nonce, self._server_nonce, digest))


def _read(data: bytes) -> tuple[Any, int]:
    """Return the TL object at the start of some bytes, and its length."""
    try:
        with BinaryReader(data) as reader:
            return reader.tgread_object(), reader.tell_position()
    except Exception as error:  # the reader checks nothing: any error means malformed bytes
        raise HandshakeError("malformed data") from error
