"""What an ini says about Celery and the schedule: taken as meant, or refused by name."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from celery.schedules import crontab

from tconnect_pyramid.errors import ConfigurationProblem
from tconnect_pyramid.tasks import TASKS, schedule_of
from tconnect_pyramid.tasks.config import default_schedule, describe, read_config

ROOT = Path(__file__).parents[3]

APP = """
[app:{name}]
use = egg:tconnect_pyramid
sqlalchemy.url = sqlite:///%(here)s/var/{name}/site.sqlite
tconnect.site_url = http://{host}.example
tconnect.secret_keys = insecure-key-of-a-test-0123456789-0123456789
tconnect.development = true
"""


@pytest.fixture
def make_ini(tmp_path):
    """Writes an ini with these apps and further text; gives its path."""

    def make(*sections: str, apps=("main",)) -> str:
        path = tmp_path / "site.ini"
        path.write_text(
            "".join(APP.format(name=name, host=name.replace(" ", "-")) for name in apps) + "\n".join(sections)
        )
        return str(path)

    return make


def problems(uri: str) -> str:
    with pytest.raises(ConfigurationProblem) as refusal:
        read_config(uri)
    return str(refusal.value)


def entries(config):
    return {entry.name: entry for entry in config.schedule}


def test_without_a_word_about_celery_a_site_has_its_own_broker_queue_and_schedule(make_ini, tmp_path):
    settings = read_config(make_ini()).settings

    assert settings["broker_url"] == "filesystem://localhost/"
    assert settings["task_default_queue"] == "tconnect-main"
    assert settings["beat_schedule_filename"] == str(tmp_path / "var/main/beat")
    assert settings["broker_transport_options"]["data_folder_in"] == str(
        tmp_path / "var/main/broker/messages"
    )
    assert settings["accept_content"] == ["json"]
    assert settings["timezone"] == "UTC"
    assert "result_backend" not in settings
    assert not (tmp_path / "var").exists(), "reading an ini makes nothing"


def test_two_apps_of_one_file_share_nothing(make_ini):
    ini = make_ini("[celery]", "worker_concurrency = 3", apps=("server", "client"))
    server, client = (read_config(f"{ini}#{app}").settings for app in ("server", "client"))

    assert server["worker_concurrency"] == client["worker_concurrency"] == 3
    for name in (
        "task_default_queue",
        "control_exchange",
        "event_exchange",
        "beat_schedule_filename",
        "broker_transport_options",
    ):
        assert server[name] != client[name], name


def test_values_have_the_types_of_celerys_own_table(make_ini, monkeypatch):
    monkeypatch.setenv("TCONNECT_TEST_BROKER_PASSWORD", "geheim")
    ini = make_ini(
        "[celery]",
        "broker_url = redis://:${TCONNECT_TEST_BROKER_PASSWORD}@127.0.0.1/0",
        "broker_pool_limit = 5",
        "broker_connection_timeout = 2.5",
        "task_acks_late = yes",
        "imports = json, os",
        'task_routes = {"tconnect.users": "slow"}',
        "worker_log_format = %%(message)s",
        "timezone = Europe/Berlin",
        "[celery:broker_transport_options]",
        "visibility_timeout = 7200",
        "global_keyprefix = site",
    )
    settings = read_config(ini).settings

    assert settings["broker_url"] == "redis://:geheim@127.0.0.1/0"
    assert settings["broker_pool_limit"] == 5
    assert settings["broker_connection_timeout"] == 2.5
    assert settings["task_acks_late"] is True
    assert settings["imports"] == ["json", "os"]
    assert settings["task_routes"] == {"tconnect.users": "slow"}
    assert settings["worker_log_format"] == "%(message)s"
    assert settings["timezone"] == "Europe/Berlin"
    assert settings["broker_transport_options"] == {"visibility_timeout": 7200, "global_keyprefix": "site"}


def test_a_section_for_one_app_wins_over_one_for_all(make_ini):
    ini = make_ini(
        "[celery@client]",
        "worker_concurrency = 7",
        "[celery]",
        "worker_concurrency = 1",
        "[celerybeat@client:users]",
        "type = timedelta",
        'schedule = {"minutes": 2}',
        "[celerybeat:users]",
        "type = timedelta",
        'schedule = {"minutes": 9}',
        apps=("server", "client"),
    )
    server, client = (read_config(f"{ini}#{app}") for app in ("server", "client"))

    assert (server.settings["worker_concurrency"], client.settings["worker_concurrency"]) == (1, 7)
    assert entries(server)["users"].schedule == timedelta(minutes=9)
    assert entries(client)["users"].schedule == timedelta(minutes=2)


def test_lines_of_the_default_section_are_not_settings_of_celery(make_ini):
    ini = make_ini("[DEFAULT]", "place = here", "[celery]", "worker_concurrency = 2")

    assert read_config(ini).settings["worker_concurrency"] == 2


def test_the_schedule_without_a_word_in_the_ini(make_ini):
    schedule = {task.name: task for task in schedule_of(make_ini())}

    assert list(schedule) == [
        "handshake",
        "positions",
        "organisations",
        "users",
        "collections",
        "reconcile",
        "cleanup",
        "sessions",
        "outbox",
    ]
    assert schedule["users"].task == "tconnect.users"
    assert schedule["handshake"].when == "every day at 00:00 UTC"
    assert schedule["sessions"].when == schedule["outbox"].when == "every minute"
    minutes = [
        int(schedule[name].when.removeprefix("every hour at minute "))
        for name in ("positions", "organisations", "users", "collections", "cleanup")
    ]
    offset = minutes[0]
    assert 0 <= offset < 10
    assert minutes == [offset, 2 + offset, 5 + offset, 20 + offset, 40 + offset]


def test_sites_do_not_all_call_in_the_same_minute(make_ini):
    apps = [f"site{number}" for number in range(20)]
    ini = make_ini(apps=apps)

    minutes = {str(entries(read_config(f"{ini}#{app}"))["users"].schedule) for app in apps}
    assert len(minutes) > 5


def test_sections_replace_remove_and_add(make_ini):
    ini = make_ini(
        "[celerybeat:users]",
        "task = tconnect.users",
        "type = crontab",
        'schedule = {"minute": "*/5", "hour": 3}',
        "[celerybeat:outbox]",
        "schedule = never",
        "[celerybeat:people of the second server]",
        "task = tconnect.users",
        "type = timedelta",
        'schedule = {"hours": 2}',
        'kwargs = {"servers": [2]}',
    )
    config = read_config(ini)
    found = entries(config)

    assert found["users"].schedule == crontab(minute="*/5", hour=3)
    assert "outbox" not in found
    assert found["people of the second server"].kwargs == {"servers": [2]}
    assert config.settings["beat_schedule"]["people of the second server"] == {
        "task": "tconnect.users",
        "schedule": timedelta(hours=2),
        "kwargs": {"servers": [2]},
        "options": {"expires": 3600},
    }


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (timedelta(seconds=1), "every second"),
        (timedelta(seconds=90), "every 90 seconds"),
        (timedelta(minutes=5), "every 5 minutes"),
        (timedelta(days=1), "every day"),
        (crontab(minute=7), "every hour at minute 7"),
        (crontab(minute=7, hour=3), "every day at 03:07 UTC"),
        (crontab(minute="*/5"), "crontab */5 * * * * UTC"),
        (crontab(minute=0, hour=4, day_of_week="mon"), "crontab 0 4 * * mon UTC"),
    ],
)
def test_a_schedule_in_words(schedule, words):
    assert describe(schedule, "UTC") == words


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["[celery]", "broker_ulr = x"], "broker_ulr: Celery has no such setting (did you mean broker_url?)"),
        (["[celery]", "BROKER_URL = x"], "BROKER_URL: Celery has no such setting (did you mean broker_url?)"),
        (["[celery]", "worker_prefetch_multiplier = many"], "expected a whole number, found 'many'"),
        (["[celery]", "task_time_limit = long"], "task_time_limit: expected a number, found 'long'"),
        (["[celery]", "task_acks_late = perhaps"], "task_acks_late: expected true or false, found 'perhaps'"),
        (["[celery]", "broker_transport_options = {"], "broker_transport_options: expected a JSON object"),
        (["[celery]", "broker_transport_options = [1]"], "expected a JSON object, found a list"),
        (["[celery]", "timezone = Mars/Olympus"], "expected the name of a time zone"),
        (["[celery]", "accept_content = pickle"], "accept_content: cannot be set here: messages are JSON"),
        (["[celery]", "task_serializer = pickle"], "task_serializer: cannot be set here"),
        (["[celery]", "beat_schedule = {}"], "[celerybeat:NAME]"),
        (["[celery]", "broker_url = ${TCONNECT_TEST_UNSET}"], "TCONNECT_TEST_UNSET is not set"),
        (["[celery]", "broker_url = redis://a%b"], "a percent sign is doubled"),
        (["[celery:broker_transprot_options]", "a = 1"], "did you mean broker_transport_options?"),
        (["[celery:broker_url]", "a = 1"], "broker_url is one value, not a section"),
        (["[celery@nobody]", "broker_url = x"], "[celery@nobody]: there is no app 'nobody'"),
        (["[celerybeat]", "task = tconnect.users"], "[celerybeat]: there is no such section"),
        (["[celerybeet:users]", "schedule = never"], "[celerybeet:users]: there is no such section"),
        (["[celerybeat@nobody:users]", "schedule = never"], "there is no app 'nobody'"),
        (["[celerybeat:nothing]", "schedule = never"], "there is no scheduled task nothing to remove"),
        (
            ["[celerybeat:x]", "task = tconnect.user", "type = crontab", 'schedule = {"minute": 1}'],
            "there is no task 'tconnect.user' (did you mean tconnect.users?)",
        ),
        (["[celerybeat:x]", "type = crontab", 'schedule = {"minute": 1}'], "[celerybeat:x] task: is missing"),
        (["[celerybeat:users]", 'schedule = {"minute": 1}'], "type: expected crontab or timedelta, found ''"),
        (["[celerybeat:users]", "type = crontab"], "schedule: is missing"),
        (["[celerybeat:users]", "type = solar", 'schedule = {"minute": 1}'], "found 'solar'"),
        (["[celerybeat:users]", "type = crontab", "schedule = hourly"], "expected a JSON object, or never"),
        (["[celerybeat:users]", "type = crontab", 'schedule = {"hour": 3}'], "say the minute too"),
        (["[celerybeat:users]", "type = crontab", 'schedule = {"minute": 61}'], "schedule:"),
        (["[celerybeat:users]", "type = crontab", 'schedule = {"minute": "soon"}'], "schedule:"),
        (["[celerybeat:users]", "type = crontab", 'schedule = {"minute": true}'], "expected text such as"),
        (
            ["[celerybeat:users]", "type = crontab", 'schedule = {"minutes": 1}'],
            "there is no 'minutes' (did you mean minute?)",
        ),
        (["[celerybeat:users]", "type = timedelta", 'schedule = {"minutes": 0}'], "at least one second"),
        (
            ["[celerybeat:users]", "type = timedelta", 'schedule = {"minutes": "5"}'],
            "minutes: expected a number",
        ),
        (["[celerybeat:users]", "type = timedelta", 'schedule = {"days": 1e300}'], "schedule:"),
        (
            ["[celerybeat:users]", "type = timedelta", 'schedule = {"minute": 1}'],
            "there is no 'minute' (did you mean minutes?)",
        ),
        (["[celerybeat:users]", "schedule = never", "every = day"], "every: there is no such line"),
        (
            ["[celerybeat:users]", "type = crontab", 'schedule = {"minute": 1}', 'kwargs = {"server": 1}'],
            "tconnect.users does not take 'server', only servers",
        ),
        (
            ["[celerybeat:users]", "type = crontab", 'schedule = {"minute": 1}', 'kwargs = {"servers": 1}'],
            "servers: expected a list of ids",
        ),
        (
            [
                "[celerybeat:outbox]",
                "type = crontab",
                'schedule = {"minute": 1}',
                'kwargs = {"servers": [1]}',
            ],
            "tconnect.outbox does not take 'servers', nothing",
        ),
        (
            ["[celerybeat:users]", "type = crontab", 'schedule = {"minute": 1}', "kwargs = 1"],
            "kwargs: expected",
        ),
    ],
)
def test_a_mistake_is_refused_by_its_name(make_ini, lines, said):
    assert said in problems(make_ini(*lines))


def test_all_mistakes_are_told_at_once(make_ini):
    text = problems(make_ini("[celery]", "a = 1", "b = 2", "[celerybeat:users]", "c = 3", "[celeryx]"))

    for name in ("[celery] a:", "[celery] b:", "[celerybeat:users] c:", "[celeryx]"):
        assert name in text


def test_a_broken_value_with_a_password_is_not_shown(make_ini):
    text = problems(make_ini("[celery]", 'broker_transport_options = {"password": "geheim"'))

    assert "broker_transport_options" in text
    assert "geheim" not in text


def test_mistakes_of_another_app_are_left_to_it(make_ini):
    ini = make_ini("[celery@server]", "nonsense = 1", apps=("server", "client"))

    assert read_config(f"{ini}#client").app == "client"
    assert "nonsense" in problems(f"{ini}#server")


def test_a_file_without_main_needs_an_app(make_ini):
    text = problems(make_ini(apps=("server", "client")))

    assert "names no app" in text
    assert "server, client" in text


def test_an_app_that_is_not_there_is_refused(make_ini):
    assert "there is no app 'clinet'; apps of this file: server, client" in problems(
        f"{make_ini(apps=('server', 'client'))}#clinet"
    )


def test_a_file_that_is_not_there_is_refused(tmp_path):
    assert "nowhere.ini" in problems(str(tmp_path / "nowhere.ini"))


def test_mistakes_in_the_sites_own_settings_are_told_before_anything_starts(make_ini):
    ini = make_ini("[app:other]", "use = egg:tconnect_pyramid", "tconnect.site_ulr = x")

    assert "tconnect.site_ulr" in problems(f"{ini}#other")


def test_an_app_with_an_odd_name_has_plain_names_of_files_and_queues(make_ini, tmp_path):
    settings = read_config(f"{make_ini(apps=('my site',))}#my site").settings

    assert settings["task_default_queue"] == "tconnect-my-site"
    assert settings["beat_schedule_filename"] == str(tmp_path / "var/my-site/beat")


def test_the_two_inis_of_the_project_are_taken(monkeypatch):
    monkeypatch.setenv("TCONNECT_SECRET_KEY", "0123456789abcdef" * 4)

    assert read_config(f"{ROOT}/development.ini#client").settings["task_default_queue"] == "tconnect-client"
    assert read_config(f"{ROOT}/production.ini").settings["broker_url"].startswith("redis://")


def test_what_production_ini_shows_as_the_default_schedule_is_it(make_ini):
    shown = re.findall(
        r"^# (\[celerybeat:.+\]|task = .+|type = .+|schedule = .+)$",
        (ROOT / "production.ini").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    from_ini = entries(read_config(make_ini(*shown)))
    without_offset = {info.name: default_schedule(replace(info, spread=False), "") for info in TASKS}

    assert len([line for line in shown if line.startswith("[")]) == len(TASKS)
    assert {name: entry.schedule for name, entry in from_ini.items()} == without_offset


@pytest.mark.parametrize("info", TASKS, ids=lambda info: info.name)
def test_the_page_on_tasks_knows_each(info):
    row = f"| `[celerybeat:{info.name}]` | `{info.task}` | {info.role} | {info.does} |"

    assert row in (ROOT / "docs/tasks.md").read_text(encoding="utf-8")
