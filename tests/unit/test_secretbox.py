"""Secrets: drawn, compared, encrypted, signed; keys may be replaced."""

from __future__ import annotations

import pytest

from tconnect_pyramid.protocol.values import is_token
from tconnect_pyramid.secretbox import CannotDecrypt, SecretBox, digest, new_token, same

OLD, NEW = "old-key-" * 5, "new-key-" * 5


def test_tokens_have_the_form_of_the_protocol_and_never_repeat():
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(is_token(token) for token in tokens)


def test_comparing():
    assert same("abc", "abc")
    assert not same("abc", "abd")
    assert not same("ä", "a")
    assert digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_what_is_sealed_is_not_readable_and_opens_again():
    box = SecretBox([NEW])
    sealed = box.seal("a secret")
    assert b"a secret" not in sealed
    assert box.open(sealed) == "a secret"
    assert box.seal("a secret") != sealed


def test_an_old_key_still_opens_and_still_verifies_after_a_new_one_came():
    before, after = SecretBox([OLD]), SecretBox([NEW, OLD])
    assert after.open(before.seal("kept")) == "kept"
    assert after.verify(before.sign("id", "cookie"), "cookie") == "id"
    with pytest.raises(CannotDecrypt, match=r"tconnect\.secret_keys"):
        before.open(after.seal("new"))
    assert before.verify(after.sign("id", "cookie"), "cookie") is None


@pytest.mark.parametrize(
    "spoilt",
    [
        "",
        "id",
        "id.",
        ".",
        "id.0000",
        "other.{signature}",
        "id.{signature}0",
        "id.{signature}.x",
        "ü.{signature}",
    ],
)
def test_a_signature_is_for_one_value_and_one_purpose(spoilt):
    box = SecretBox([NEW])
    signed = box.sign("id", "cookie")
    assert box.verify(signed, "cookie") == "id"
    assert box.verify(signed, "something else") is None
    assert box.verify(spoilt.format(signature=signed.partition(".")[2]), "cookie") is None
