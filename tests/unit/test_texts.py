"""Sentences that remember how they were made, alone and in the errors that say them."""

import copy
import pickle

import pytest

from tconnect_pyramid.errors import BadRecord, Conflict, InvalidInput, PeerError, Refused
from tconnect_pyramid.texts import Text, fill, listed, plural, read, text, written


def test_a_text_is_its_sentence_and_remembers_template_and_values():
    said = text("There is no course ${who}: give its id.", who=repr("c1"))

    assert said == "There is no course 'c1': give its id."
    assert said.template == "There is no course ${who}: give its id."
    assert said.values == {"who": "'c1'"}
    assert (said.many, said.number) == (None, None)


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, "0 people of acme"), (1, "1 person of acme"), (2, "2 people of acme"), (-1, "-1 people of acme")],
)
def test_what_is_counted_is_one_or_many(number, expected):
    said = plural("${number} person of ${where}", "${number} people of ${where}", number, where="acme")

    assert said == expected
    assert (said.template, said.many, said.number) == (
        "${number} person of ${where}",
        "${number} people of ${where}",
        number,
    )


def test_a_text_in_a_text_is_still_one():
    inner = plural("${number} audience", "${number} audiences", 3)
    outer = text("It is sent ${what}.", what=inner)

    assert outer == "It is sent 3 audiences."
    assert outer.values["what"] is inner


@pytest.mark.parametrize(
    ("template", "values", "expected"),
    [
        ("", {}, ""),
        ("nothing to fill", {"unused": 1}, "nothing to fill"),
        ("${a}${a}", {"a": "x"}, "xx"),
        ("${none} ${yes} ${half}", {"none": None, "yes": True, "half": 0.5}, "None True 0.5"),
        ("$ 5, $a, $$, ${", {"a": "x"}, "$ 5, $a, $$, ${"),
        ("${unknown} stays", {"known": 1}, "${unknown} stays"),
        ("${TCONNECT_SECRET_KEY} is none of ours", {}, "${TCONNECT_SECRET_KEY} is none of ours"),
        ("${template} ${self}", {"template": "a", "self": "b"}, "a b"),
        ("{braces} %s %(percent)s", {"braces": 1}, "{braces} %s %(percent)s"),
    ],
)
def test_only_known_places_are_filled(template, values, expected):
    assert text(template, **values) == expected


def test_what_is_put_in_is_not_looked_at_again():
    assert text("${a} ${b}", a="${b}", b="\\1 $ {a}") == "${b} \\1 $ {a}"


def test_who_fills_a_template_says_how_values_are_shown():
    assert fill("${a} and ${b}", {"a": 1, "b": "x"}, repr) == "1 and 'x'"


def test_what_is_made_of_a_text_is_plain():
    said = text("a ${x}", x=1)

    assert [type(each) for each in (str(said), f"{said}", said.upper(), said + "")] == [str] * 4


def sent_to_another_process(error):
    return pickle.loads(pickle.dumps(error))  # noqa: S301 - made here


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, sent_to_another_process])
@pytest.mark.parametrize(
    "error",
    [
        Conflict(text("The account ${key} is deleted.", key="3")),
        InvalidInput("name", plural("${number} letter", "${number} letters", 2)),
        BadRecord(7, text("${field} is missing", field="id")),
        PeerError("POST", "https://a.example/x", "dns", text("no such host: ${host}", host="a.example")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_and_its_copies_keep_the_text(error, again):
    other = again(error)

    assert type(other) is type(error)
    assert vars(other) == vars(error)
    assert type(str(other)) is str
    assert str(other) == str(error) == error.text
    assert isinstance(other.text, Text)
    assert (other.text.template, other.text.values) == (error.text.template, error.text.values)
    assert (other.text.many, other.text.number) == (error.text.many, error.text.number)


def test_the_text_of_a_failed_call_has_its_reason_as_a_text():
    reason = text("no such host: ${host}", host="a.example")
    error = PeerError("POST", "https://a.example/x", "dns", reason)

    assert str(error) == "POST https://a.example/x: no such host: a.example"
    assert error.reason is reason
    assert error.text.values["reason"] is reason


def test_an_error_of_plain_text_or_none_has_that():
    assert Conflict("as it is").text == "as it is"
    assert Conflict().text == ""
    assert Conflict(3).text == "3"


def test_what_peers_are_told_is_not_translated():
    error = Refused("is not active", parameter="client")

    assert (str(error), type(error.text)) == ("client: is not active", str)


TEXTS = [
    text("There is no course ${who}.", who="'c1'"),
    plural("${number} person of ${where}", "${number} people of ${where}", 3, where=text("the ${x}", x=5)),
    listed([text("${a}: done", a="S"), text("nothing"), "as it is"]),
    listed([text("one")]),
    'no text, \\ and "quotes"',
    "",
]


@pytest.mark.parametrize("said", TEXTS)
def test_what_is_stored_is_read_with_all_that_it_was_made_of(said):
    again = read(written(said, 1000))

    assert again == said
    assert type(again) is type(said)
    if isinstance(said, Text):
        assert (again.template, again.many, again.number) == (said.template, said.many, said.number)


def test_what_is_too_long_is_kept_as_it_is_said():
    said = text("${a}", a="x" * 100)
    assert written(said, 60) == "x" * 60


@pytest.mark.parametrize(
    "kept", ['{"text":', '{"text":1}', '{"text":"a"}', '{"text":"a","many":null,"values":3}', "plain"]
)
def test_what_was_stored_otherwise_is_shown_as_it_is(kept):
    assert read(kept) == kept
