"""Which versions of the protocol are spoken here, and which one two sites choose (protocol 3)."""

from __future__ import annotations

MIN_VERSION = 1
MAX_VERSION = 2

# Version 1 knows neither job assignments nor custom profile fields, positions or organisations.
FIRST_VERSION_WITH_JOBS = 2

CLIENT_TYPES = ("totaralms", "totarasocial")


def choose(theirs_min: int, theirs_max: int) -> int | None:
    """The highest version that both we and a peer of `theirs_min` to `theirs_max` speak, or None."""
    highest = min(MAX_VERSION, theirs_max)
    return highest if highest >= max(MIN_VERSION, theirs_min) else None
