from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tconnect_pyramid.protocol.forms import MAX_FORM_BYTES, read_form, write_form


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b"", {}),
        (b"a=1&b=2", {"a": "1", "b": "2"}),
        (b"a=1&a=2", {"a": "2"}),
        (b"a", {"a": ""}),
        (b"a=&=b&&", {"a": ""}),
        (b"a=b=c", {"a": "b=c"}),
        (b"a=x+y%20z%2B", {"a": "x y z+"}),
        (b"a=%C3%85", {"a": "Å"}),
        (b"a=%C3%85%FF%C3b", {"a": "Åb"}),
        (b"a=1%002&%00=3", {"a": "12"}),
        (b"a=\xff1\x00", {"a": "1"}),
        (b"a=%zz%4", {"a": "%zz%4"}),
        (b"a[]=1&a%5B%5D=2&a[b=3", {}),
        (b"service=get_users&service[]=x", {"service": "get_users"}),
        (b"a;b=1", {"a;b": "1"}),
    ],
)
def test_reads_as_php_does(body: bytes, form: dict[str, str]) -> None:
    assert read_form(body) == form


def test_fields_after_the_thousandth_are_ignored() -> None:
    body = b"&".join(b"f%d=x" % index for index in range(2000))
    assert list(read_form(body)) == [f"f{index}" for index in range(1000)]


def test_a_body_too_large_has_no_fields() -> None:
    assert read_form(b"a=" + b"x" * (MAX_FORM_BYTES - 2)) == {"a": "x" * (MAX_FORM_BYTES - 2)}
    assert read_form(b"a=" + b"x" * (MAX_FORM_BYTES - 1)) == {}


@given(st.binary())
def test_reading_never_fails_and_gives_clean_text(body: bytes) -> None:
    for name, value in read_form(body).items():
        assert "\0" not in name + value
        (name + value).encode()


CLEAN = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=50)


@given(st.dictionaries(CLEAN.filter(lambda name: name and "[" not in name), CLEAN, max_size=20))
def test_what_is_written_is_read_again(form: dict[str, str]) -> None:
    assert read_form(write_form(form.items())) == form


def test_keeps_the_order() -> None:
    assert write_form([("b", "x y"), ("a", "Å&=\ud800")]) == b"b=x+y&a=%C3%85%26%3D"
