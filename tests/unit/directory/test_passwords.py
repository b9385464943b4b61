from __future__ import annotations

import bcrypt
import pytest
from support import quick_passwords

from tconnect_pyramid.directory.passwords import check_password, hash_password
from tconnect_pyramid.errors import InvalidInput


@pytest.fixture(autouse=True)
def real_hashes():
    with quick_passwords.real():
        yield


def quick(text: str, kind: str = "2b") -> str:
    return bcrypt.hashpw(text.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", f"${kind}$", 1)


def test_a_new_hash_is_what_peers_take_over():
    hashed = hash_password("gräslök och dill")

    assert hashed.startswith("$2b$12$")
    assert len(hashed) == 60
    assert check_password("gräslök och dill", hashed)
    assert not check_password("gräslök och Dill", hashed)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("seven77", "has 7 characters"),
        ("å" * 37, "has 74 bytes"),
        ("a" * 73, "has 73 bytes"),
        ("half of a pair \ud800", "no text"),
    ],
)
def test_what_cannot_be_set_says_why(password, why):
    with pytest.raises(InvalidInput, match=why) as caught:
        hash_password(password)

    assert caught.value.field == "password"
    assert password not in str(caught.value)


def test_72_bytes_can_be_set():
    assert check_password("å" * 36, hash_password("å" * 36))


@pytest.mark.parametrize("kind", ["2a", "2b", "2y"])
def test_hashes_of_other_sites_are_understood(kind):
    assert check_password("correct horse", quick("correct horse", kind))


def test_more_than_72_bytes_are_wrong_whatever_they_begin_with():
    assert check_password("a" * 72, quick("a" * 72))
    assert not check_password("a" * 73, quick("a" * 72))


def test_where_there_is_no_hash_the_work_is_that_of_a_new_one(monkeypatch):
    compared = []
    monkeypatch.setattr(bcrypt, "checkpw", lambda typed, hashed: compared.append(hashed) or False)

    check_password("correct horse", None)

    assert [hashed[:7].decode() for hashed in compared] == [hash_password("correct horse")[:7]]


@pytest.mark.parametrize(
    "hashed",
    [
        None,
        "",
        "plain text",
        "$2b$31$" + "a" * 53,
        "$1$salt$hash",
        # A name that stays, as tests on several processors must be the same ones on each.
        pytest.param(quick("half \ufffd"), id="of a replaced character"),
    ],
)
def test_what_is_no_usable_hash_matches_nothing(hashed):
    for typed in ("", "plain text", "half \ud800"):
        assert not check_password(typed, hashed)
