"""Secrets: drawing, comparing, hashing, signing them, and keeping them encrypted at rest.

One set of keys comes from the settings (newest first); for each purpose a separate key is derived
from each of them, so that what is made for one purpose is worth nothing for another.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tconnect_pyramid.errors import TConnectError
from tconnect_pyramid.texts import text as _


class CannotDecrypt(TConnectError):
    """A stored secret was encrypted with a key that `tconnect.secret_keys` no longer lists."""


def new_token() -> str:
    """40 lowercase hex characters from the system's CSPRNG (protocol 1)."""
    return secrets.token_hex(20)


def digest(secret: str) -> str:
    """SHA-256 in hex, for what is only compared or looked up.

    Unsalted on purpose: everything hashed here is random and at least 160 bits long.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def same(one: str, other: str) -> bool:
    """Compare two secrets, or two digests, in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())


class SecretBox:
    """Encrypts, decrypts and signs with the site's keys.

    `keys`: the secret strings of the settings, newest first. The newest is used for writing, all
    of them for reading, so that a key can be replaced without losing anything.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._fernet = MultiFernet([Fernet(base64.urlsafe_b64encode(_derive(key, "seal"))) for key in keys])
        self._keys = tuple(keys)

    def seal(self, text: str) -> bytes:
        """Encrypt a text for keeping in the database."""
        return self._fernet.encrypt(text.encode())

    def open(self, sealed: bytes) -> str:
        """Decrypt what `seal` gave. Raises CannotDecrypt."""
        try:
            return self._fernet.decrypt(bytes(sealed)).decode()
        except InvalidToken:
            raise CannotDecrypt(
                _(
                    "A stored secret cannot be decrypted: the key it was encrypted with is missing from "
                    "tconnect.secret_keys. Add the former key at the end of that list."
                )
            ) from None

    def sign(self, value: str, purpose: str) -> str:
        """`value` with a signature that `verify` accepts for the same purpose. No dot in `value`."""
        return f"{value}.{_signature(self._keys[0], value, purpose)}"

    def verify(self, signed: str, purpose: str) -> str | None:
        """The value of a signed text, or None when nobody of ours signed it for this purpose."""
        value, _, signature = signed.partition(".")
        for key in self._keys:
            if same(signature, _signature(key, value, purpose)):
                return value
        return None


def _derive(key: str, purpose: str) -> bytes:
    hkdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"tconnect_pyramid {purpose}".encode())
    return hkdf.derive(key.encode())


def _signature(key: str, value: str, purpose: str) -> str:
    return hmac.new(_derive(key, f"sign {purpose}"), value.encode(), hashlib.sha256).hexdigest()
