"""Passwords that are hashed with little work: a hash as it is stored otherwise takes a quarter of a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from tconnect_pyramid.directory import passwords

REAL = {"COST": passwords.COST, "_NOBODY": passwords._NOBODY}
LEAST = 4
"""What bcrypt takes at least."""


@contextmanager
def quick() -> Iterator[None]:
    """While the block runs, hashes cost the least that there is, and so does looking for nobody's."""
    nobody = REAL["_NOBODY"].replace(b"$12$", b"$04$")
    with mock.patch.multiple(passwords, COST=LEAST, _NOBODY=nobody):
        yield


@contextmanager
def real() -> Iterator[None]:
    """Within `quick`: hashes as they are stored by a site."""
    with mock.patch.multiple(passwords, **REAL):
        yield
