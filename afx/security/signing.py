"""Signatures of the cluster: HMAC-SHA256 over raw bytes, with a key that its id chooses.

A signature covers a context beside the bytes ("job", for instance), so that what was
signed for one purpose is worthless for another.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence

from afx.errors import AfxError

_VERSION = b"1"
_FORM = re.compile(rb"(\d{1,3})\.([0-9a-f]{16})\.([0-9a-f]{64})")


class SignatureError(AfxError):
    """Something was not signed by this cluster, or was changed since."""


class SigningKeys:
    """Signs with the newest key, and verifies with every key that is in force.

    Hosts may list their keys in different orders: each signature names its key.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Take the keys, newest first."""
        if not keys:
            raise ValueError("there is no signing key")
        self._keys = {_key_id(key): key for key in keys}
        self._newest = _key_id(keys[0])

    def sign(self, context: bytes, text: bytes) -> bytes:
        """Return the signature of ``text`` for use in ``context``."""
        mac = _mac(self._keys[self._newest], context, text)
        return b".".join((_VERSION, self._newest, mac))

    def verify(self, context: bytes, text: bytes, signature: bytes) -> None:
        """Check a signature; raises SignatureError when it is not valid."""
        form = _FORM.fullmatch(signature)
        if form is None:
            raise SignatureError("There is no signature, or it is malformed.")
        version, key_id, mac = form.groups()
        if version != _VERSION:
            raise SignatureError("The signature has an unknown version; upgrade this host.")
        key = self._keys.get(key_id)
        if key is None:
            raise SignatureError(
                "The signature was made with an unknown key; give all hosts the same secret keys."
            )
        if not hmac.compare_digest(_mac(key, context, text), mac):
            raise SignatureError("The signature does not match; the content was changed.")


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"afx key id 1\0" + key).hexdigest()[:16].encode()


def _mac(key: bytes, context: bytes, text: bytes) -> bytes:
    return hmac.new(key, context + b"\0" + text, hashlib.sha256).hexdigest().encode()
