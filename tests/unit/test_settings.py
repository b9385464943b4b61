"""Settings: what an ini may say, what is made of it, and how mistakes are told."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path

import plaster
import pytest

from tconnect_pyramid.errors import ConfigurationProblem, InvalidInput, NotFound
from tconnect_pyramid.settings import (
    OPTIONS,
    SETTINGS,
    format_option,
    parse_option,
    read_settings,
    settings_page,
)

ROOT = Path(__file__).parents[2]
KEY = "0123456789abcdef" * 4
OLDER_KEY = "fedcba9876543210" * 4
LEAST = {"tconnect.site_url": "https://learn.example.org", "tconnect.secret_keys": KEY}


def problems(raw: dict[str, str], environment: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigurationProblem) as caught:
        read_settings(raw, environment or {})
    return caught.value.problems


def test_a_site_needs_an_address_and_a_key_and_has_defaults_for_the_rest():
    settings = read_settings(LEAST)

    assert settings.site_url == "https://learn.example.org"
    assert settings.site_name == "learn.example.org"
    assert settings.secret_keys == (KEY,)
    assert settings.development is False
    assert settings.request_timeout == 600
    assert settings.private_networks == ()
    assert settings.allow_http is False
    assert settings.ca_file is None
    assert settings.client_type == "lms"
    assert settings.fixed == {}


def test_everything_that_is_missing_is_said_at_once():
    assert [problem.split(":")[0] for problem in problems({})] == [
        "tconnect.site_url",
        "tconnect.secret_keys",
    ]


def test_all_mistakes_are_said_at_once_with_what_was_expected_and_found():
    found = problems(
        {
            **LEAST,
            "tconnect.client.type": "moodle",
            "tconnect.network.private": "10.0.0.0/8 10.1.2.3/8",
            "tconnect.session.timeout": "2 hours",
            "tconnect.request_timeout": "5",
        }
    )

    assert sorted(found) == [
        "tconnect.client.type: expected one of lms, social, found 'moodle'; write for example lms",
        (
            "tconnect.network.private: expected networks with spaces between them, found 10.1.2.3/8 has host bits "
            "set; write for example 10.0.0.0/8 fd00::/8"
        ),
        "tconnect.request_timeout: expected a number of seconds from 60 to 3600, found 5; write for example 600",
        (
            "tconnect.session.timeout: expected a number of seconds from 60 to 31536000, found '2 hours'; "
            "write for example 7200"
        ),
    ]


def test_an_unknown_setting_is_named_with_the_one_that_was_meant():
    assert problems({**LEAST, "tconnect.server.enable": "true"}) == (
        (
            "tconnect.server.enable: there is no such setting (did you mean tconnect.server.enabled?); "
            "mend the name or remove the line"
        ),
    )


def test_settings_of_others_are_passed_over():
    settings = read_settings({**LEAST, "sqlalchemy.url": "sqlite://", "pyramid.includes": "x"})

    assert settings == read_settings(LEAST)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("https://learn.example.org/", "https://learn.example.org"),
        ("https://learn.example.org/totara/", "https://learn.example.org/totara"),
        ("HTTPS://Learn.Example.ORG:8443/Sub", "https://learn.example.org:8443/Sub"),
        ("http://127.0.0.1:6543", "http://127.0.0.1:6543"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
    ],
)
def test_the_address_loses_its_last_slash_and_keeps_its_path(written, read):
    assert read_settings({**LEAST, "tconnect.site_url": written}).site_url == read


@pytest.mark.parametrize(
    "address",
    [
        "",
        "learn.example.org",
        "ftp://learn.example.org",
        "https://",
        "https://bücher.example",
        "https://learn_site.example.org",
        "https://[::1]/",
        "https://learn.example.org:port",
        "https://learn.example.org/?lang=en",
        "https://learn.example.org/#top",
        "https://learn.example.org\\@evil.example",
        "https://learn.example.org /",
        "https://learn.example.org/" + "a" * 255,
    ],
)
def test_an_address_that_peers_could_not_use_is_refused(address):
    (problem,) = problems({**LEAST, "tconnect.site_url": address})

    assert problem.startswith("tconnect.site_url: expected an http or https address")


@pytest.mark.parametrize("address", ["https://me:hunter2@a.example", "https://me:hünter2@a.example"])
def test_an_address_with_a_password_is_refused_without_showing_it(address):
    (problem,) = problems({**LEAST, "tconnect.site_url": address})

    assert "user name" in problem
    assert "nter2" not in problem


def test_keys_are_kept_in_their_order():
    settings = read_settings({**LEAST, "tconnect.secret_keys": f"{KEY}\n  {OLDER_KEY}"})

    assert settings.secret_keys == (KEY, OLDER_KEY)


def test_a_short_key_is_refused_without_showing_any():
    (problem,) = problems({**LEAST, "tconnect.secret_keys": f"{KEY} hunter2"})

    assert "key 2 has 7" in problem
    assert "hunter2" not in problem
    assert KEY not in problem


def test_a_placeholder_starts_in_development_only():
    raw = {**LEAST, "tconnect.secret_keys": f"{KEY} insecure-development-only-key-0123456789"}

    (problem,) = problems(raw)
    assert problem.startswith("tconnect.secret_keys: key 2 is a placeholder")
    assert "0123456789" not in problem
    assert read_settings({**raw, "tconnect.development": "true"}).development is True


def test_keys_are_not_shown_when_settings_are_printed():
    assert KEY not in repr(read_settings(LEAST))


def test_a_value_may_come_from_the_environment():
    raw = {**LEAST, "tconnect.secret_keys": "${NEW_KEY} ${OLD_KEY}"}

    settings = read_settings(raw, {"NEW_KEY": KEY, "OLD_KEY": OLDER_KEY})

    assert settings.secret_keys == (KEY, OLDER_KEY)


def test_a_variable_that_is_not_set_is_named():
    raw = {**LEAST, "tconnect.secret_keys": "${NEW_KEY} ${OLD_KEY}"}

    assert problems(raw, {"OLD_KEY": OLDER_KEY}) == (
        "tconnect.secret_keys: the environment variable NEW_KEY is not set; set it",
    )


def test_options_that_the_ini_gives_are_fixed_and_typed():
    settings = read_settings(
        {
            **LEAST,
            "tconnect.server.enabled": "True",
            "tconnect.client.removed_person": "keep",
            "tconnect.client.protected_accounts": "admin\nsupport",
            "tconnect.session.timeout": "3600",
            "tconnect.network.private": "10.0.0.0/8 fd00::/8",
        }
    )

    assert settings.fixed == {
        "server.enabled": True,
        "client.removed_person": "keep",
        "client.protected_accounts": ("admin", "support"),
        "session.timeout": 3600,
    }
    assert settings.private_networks == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def test_a_value_from_python_that_is_no_text_is_refused():
    (problem,) = problems({**LEAST, "tconnect.server.enabled": True})  # type: ignore[dict-item]

    assert "a Python bool" in problem


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("server.enabled", "yes", True),
        ("server.enabled", "off", False),
        ("client.removed_person", "delete", "delete"),
        ("client.protected_accounts", "", ()),
        ("session.timeout", " 60 ", 60),
    ],
)
def test_an_option_is_read(name, text, value):
    assert parse_option(name, text) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("server.enabled", ""),
        ("server.enabled", "perhaps"),
        ("client.removed_person", "Keep"),
        ("session.timeout", "ten"),
        ("session.timeout", "٦٠"),
        ("session.timeout", "59"),
        ("session.timeout", "-60"),
    ],
)
def test_an_option_that_cannot_be_read_is_refused_by_name(name, text):
    with pytest.raises(InvalidInput, match=f"^{re.escape(name)}: expected") as caught:
        parse_option(name, text)

    assert caught.value.field == name


def test_an_unknown_option_is_refused_with_the_one_that_was_meant():
    with pytest.raises(NotFound, match=r"did you mean session\.timeout\?"):
        parse_option("session.timeouts", "60")


def test_a_setting_of_the_ini_cannot_be_set_as_an_option():
    with pytest.raises(NotFound, match="ini file only"):
        parse_option("site_url", "https://other.example")


@pytest.mark.parametrize("name", OPTIONS)
def test_the_default_of_every_option_can_be_written_and_read(name):
    default = OPTIONS[name].default

    assert parse_option(name, format_option(default)) == default


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_the_example_of_every_setting_is_one_that_is_taken(setting):
    environment = {"TCONNECT_SECRET_KEY": KEY}

    read_settings({**LEAST, f"tconnect.{setting.name}": setting.type.example}, environment)


def test_the_page_about_settings_is_up_to_date():
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")

    assert page == settings_page(), "docs/settings.md is not what the settings say: run make docs"


def test_production_ini_starts_with_keys_from_the_environment():
    raw = plaster.get_settings(str(ROOT / "production.ini"), "app:main")

    settings = read_settings(raw, {"TCONNECT_SECRET_KEY": KEY})

    assert settings.secret_keys == (KEY,)
    assert settings.development is False
    assert settings.allow_http is False
    assert settings.fixed == {}


def test_production_ini_shows_every_setting_with_its_help():
    text = (ROOT / "production.ini").read_text(encoding="utf-8")
    comments = " ".join(re.sub(r"^# ?", "", text, flags=re.MULTILINE).split())

    for setting in SETTINGS:
        assert setting.help.replace("%", "%%") in comments, f"the help of {setting.name}"
        assert re.search(rf"^(# )?tconnect\.{re.escape(setting.name)} =", text, re.MULTILINE), setting.name


def test_production_ini_shows_the_defaults_of_the_options(tmp_path):
    text = (ROOT / "production.ini").read_text(encoding="utf-8")
    uncommented = tmp_path / "production.ini"
    uncommented.write_text(re.sub(r"^# tconnect\.", "tconnect.", text, flags=re.MULTILINE), encoding="utf-8")

    raw = plaster.get_settings(str(uncommented), "app:main")

    settings = read_settings(raw, {"TCONNECT_SECRET_KEY": KEY})
    assert settings.fixed == {name: option.default for name, option in OPTIONS.items()}


@pytest.mark.parametrize(("app", "port"), [("server", 6543), ("client", 6544)])
def test_development_ini_holds_two_sites_and_fixes_no_option(app, port):
    raw = plaster.get_settings(str(ROOT / "development.ini"), f"app:{app}")

    settings = read_settings(raw, {})

    assert settings.site_url == f"http://127.0.0.1:{port}"
    assert settings.development is True
    assert settings.fixed == {}
    assert raw["sqlalchemy.url"] == f"sqlite:///{ROOT}/var/{app}/site.sqlite"
    assert plaster.get_settings(str(ROOT / "development.ini"), f"server:{app}")["port"] == str(port)
