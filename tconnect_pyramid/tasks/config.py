"""The ini's words on Celery and on the schedule: read, typed and checked before anything starts.

Nothing here touches a database, a broker or a folder.
"""

from __future__ import annotations

import configparser
import difflib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from celery.app.defaults import NAMESPACES, flatten
from celery.exceptions import ImproperlyConfigured
from celery.schedules import ParseException, crontab
from celery.utils.serialization import strtobool
from celery.utils.time import timezone as zones
from plaster import PlasterError, get_loader, get_settings

from tconnect_pyramid.errors import ConfigurationProblem
from tconnect_pyramid.settings import expand, read_settings
from tconnect_pyramid.tasks.table import BY_TASK, SPREAD_MINUTES, TASKS, TaskInfo
from tconnect_pyramid.texts import plural
from tconnect_pyramid.texts import text as _

MAIN = "main"
APP_SECTION = re.compile(r"(?:app|application|composite|composit|pipeline|filter-app):(?P<app>.+)")
# [celery], [celery:OPTION], and the same with @APP after the first word for one app of several.
CELERY_SECTION = re.compile(r"celery(?:@(?P<app>[^:]+))?(?::(?P<option>.+))?")
BEAT_SECTION = re.compile(r"celerybeat(?:@(?P<app>[^:]+))?:(?P<name>.+)")

BEAT_KEYS = ("task", "type", "schedule", "kwargs")
CRONTAB_KEYS = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
TIMEDELTA_KEYS = ("weeks", "days", "hours", "minutes", "seconds")
NEVER = "never"

JSON_ONLY = "messages are JSON, so that nobody who reaches the broker can run code here; remove the line"
# Options of Celery that an ini may not set, and why.
FIXED: Mapping[str, str] = {
    "accept_content": JSON_ONLY,
    "result_accept_content": JSON_ONLY,
    "task_serializer": JSON_ONLY,
    "result_serializer": JSON_ONLY,
    "event_serializer": JSON_ONLY,
    "beat_schedule": "write a section [celerybeat:NAME] for each scheduled task instead",
    "enable_utc": "times in messages are UTC; to write schedules in local time, set timezone",
}

# A sync of a million people takes minutes, most of them waiting for the peer; what takes longer hangs.
SOFT_TIME_LIMIT = 1800
HARD_TIME_LIMIT = 1860

_OPTIONS: Mapping[str, Any] = dict(flatten(NAMESPACES))
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class ScheduledTask:
    """One line of the schedule: its name, Celery's name of the task, when it runs, what it does."""

    name: str
    task: str
    when: str
    does: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One task of the schedule, as beat gets it."""

    name: str
    info: TaskInfo
    schedule: crontab | timedelta
    kwargs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TaskConfig:
    """What the ini says for one app: Celery's settings, typed, and the schedule.

    `folders` are those of the embedded broker and of the schedule file; they may not exist yet.
    `exchanges` are the embedded broker's tables of who listens, by their paths; empty with another broker.
    """

    app: str
    settings: Mapping[str, Any] = field(repr=False)
    schedule: tuple[Entry, ...]
    folders: tuple[Path, ...]
    exchanges: tuple[Path, ...]


def schedule_of(ini_uri: str) -> list[ScheduledTask]:
    """When which task runs at the app that `ini_uri` (`FILE.ini` or `FILE.ini#APP`) names.

    Raises ConfigurationProblem as `read_config` does.
    """
    config = read_config(ini_uri)
    zone = config.settings["timezone"]
    return [
        ScheduledTask(entry.name, entry.info.task, describe(entry.schedule, zone), entry.info.does)
        for entry in config.schedule
    ]


def read_config(ini_uri: str) -> TaskConfig:
    """Read what the ini says about Celery for the app that `ini_uri` (`FILE.ini` or `FILE.ini#APP`) names.

    Raises ConfigurationProblem with all that is wrong: no such file or app, sections and options that
    nobody knows, values of a wrong type, tasks that do not exist, schedules that cannot be.
    """
    ini = _Ini(ini_uri)
    app = ini.app()
    try:
        site_url = read_settings(ini.app_settings(app)).site_url
    except ConfigurationProblem as problem:
        raise ConfigurationProblem([f"[app:{app}] {each}" for each in problem.problems]) from None
    problems: list[str] = []
    given = _read_celery(ini, app, problems)
    schedule = _read_schedule(ini, app, site_url, problems)
    if problems:
        raise ConfigurationProblem(problems)
    return _with_defaults(app, ini.folder / "var" / _plain(app), given, schedule)


def describe(schedule: crontab | timedelta, zone: str) -> str:
    """A schedule in words; `zone` is the time zone that its hours are of."""
    if isinstance(schedule, timedelta):
        seconds = schedule.total_seconds()
        if seconds % 86400 == 0:
            return plural("every day", "every ${number} days", int(seconds // 86400))
        if seconds % 3600 == 0:
            return plural("every hour", "every ${number} hours", int(seconds // 3600))
        if seconds % 60 == 0:
            return plural("every minute", "every ${number} minutes", int(seconds // 60))
        if seconds == int(seconds):
            return plural("every second", "every ${number} seconds", int(seconds))
        shown = f"{seconds:g}"
        return _("every ${seconds} seconds", seconds=shown)
    fields = [getattr(schedule, f"_orig_{key}") for key in CRONTAB_KEYS]
    minute, hour, *days = (str(each) for each in fields)
    if days == ["*", "*", "*"] and minute.isdecimal():
        if hour == "*":
            return _("every hour at minute ${minute}", minute=minute)
        if hour.isdecimal():
            time = f"{int(hour):02}:{int(minute):02}"
            return _("every day at ${time} ${zone}", time=time, zone=zone)
    # The order of a line of cron.
    day_of_week, day_of_month, month_of_year = days
    line = f"{minute} {hour} {day_of_month} {month_of_year} {day_of_week}"
    return _("crontab ${fields} ${zone}", fields=line, zone=zone)


def default_schedule(info: TaskInfo, site_url: str) -> crontab | timedelta:
    """When a task runs if the ini says nothing."""
    if info.minute is None:
        return timedelta(minutes=1)
    offset = _offset(site_url) if info.spread else 0
    return crontab(minute=info.minute + offset, hour="*" if info.hour is None else info.hour)


def _offset(site_url: str) -> int:
    # From the address and not from the idnumber, which is in the database: making the schedule reads
    # nothing there. Any number serves that differs from site to site and stays the same.
    return int.from_bytes(hashlib.sha256(site_url.encode()).digest()) % SPREAD_MINUTES


def _plain(name: str) -> str:
    """A name as a part of file names and of queues."""
    return _UNSAFE.sub("-", name)


class _Ini:
    """An ini file as plaster reads it, with every failure a ConfigurationProblem."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        try:
            self._loader = get_loader(uri, protocols=["wsgi"])
            self.sections: tuple[str, ...] = tuple(self._loader.get_sections())
        except (PlasterError, OSError, configparser.Error) as error:
            raise ConfigurationProblem([f"{uri}: {error}"]) from None
        self.path = Path(self._loader.uri.path).absolute()
        self.folder = self.path.parent
        found = (APP_SECTION.fullmatch(name) for name in self.sections)
        self.apps = tuple(match["app"] for match in found if match)

    def app(self) -> str:
        """The app that the URI names: the one behind `#`, else `main`."""
        named: str | None = self._loader.uri.fragment or None
        app = named or MAIN
        if app not in self.apps:
            known = ", ".join(self.apps) or "none"
            what = f"there is no app {app!r}" if named else f"names no app, and there is no {MAIN!r} to take"
            raise ConfigurationProblem(
                [f"{self.uri}: {what}; apps of this file: {known}. Name one: {self._loader.uri.path}#APP"]
            )
        return app

    def app_settings(self, app: str) -> dict[str, str]:
        """The settings of the app's section."""
        return self._read(lambda: self._loader.get_wsgi_app_settings(app), app)

    def section(self, name: str) -> dict[str, str]:
        """The lines of a section itself, without those of [DEFAULT]."""
        return self._read(lambda: get_settings(self.uri, name), name)

    def _read(self, read: Callable[[], Mapping[str, str]], name: str) -> dict[str, str]:
        try:
            return dict(read())
        except configparser.Error as error:
            # The first line names section and option; the others may show the value.
            raise ConfigurationProblem(
                [f"{self.uri}: {str(error).splitlines()[0]} (a percent sign is doubled in an ini file)"]
            ) from None
        except (LookupError, OSError) as error:
            raise ConfigurationProblem([f"{self.uri}: {name} cannot be read: {error}"]) from None


def _read_celery(ini: _Ini, app: str, problems: list[str]) -> dict[str, Any]:
    """The settings that the ini gives, those for this app over those for all of them."""
    for_all: dict[str, Any] = {}
    for_one: dict[str, Any] = {}
    for section in ini.sections:
        if not section.startswith("celery") or BEAT_SECTION.fullmatch(section):
            continue
        match = CELERY_SECTION.fullmatch(section)
        if match is None:
            problems.append(
                f"[{section}]: there is no such section; expected [celery], [celery:OPTION] or "
                "[celerybeat:NAME], each with @APP after the first word if it is for one app only"
            )
            continue
        if not _is_for(app, ini, section, match["app"], problems):
            continue
        lines = ini.section(section)
        if match["option"]:
            read = _section_of_option(section, match["option"], lines, problems)
        else:
            read = _section_of_settings(section, lines, problems)
        target = for_all if match["app"] is None else for_one
        target |= read
    return for_all | for_one


def _section_of_settings(section: str, lines: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    read = {}
    for name, text in lines.items():
        if not _may_be_set(section, name, problems):
            continue
        try:
            read[name] = _typed(name, expand(text).strip())
        except ValueError as error:
            problems.append(f"[{section}] {name}: {error}")
        except ConfigurationProblem as problem:
            problems.extend(f"[{section}] {name}: {each}" for each in problem.problems)
    return read


def _section_of_option(
    section: str, option: str, lines: Mapping[str, str], problems: list[str]
) -> dict[str, Any]:
    if not _may_be_set(section, option, problems):
        return {}
    if _OPTIONS[option].type not in {"dict", "any"}:
        problems.append(f"[{section}]: {option} is one value, not a section; write it in [celery]")
        return {}
    try:
        return {option: {name: _json_or_text(expand(text).strip()) for name, text in lines.items()}}
    except ConfigurationProblem as problem:
        problems.extend(f"[{section}] {each}" for each in problem.problems)
        return {}


def _may_be_set(section: str, name: str, problems: list[str]) -> bool:
    if name in FIXED:
        problems.append(f"[{section}] {name}: cannot be set here: {FIXED[name]}")
        return False
    if name not in _OPTIONS:
        problems.append(
            f"[{section}] {name}: Celery has no such setting{_did_you_mean(name.lower(), _OPTIONS)}; "
            "mend the name or remove the line"
        )
        return False
    return True


def _typed(name: str, text: str) -> Any:
    kind = _OPTIONS[name].type
    match kind if isinstance(kind, str) else kind.__name__:
        case "int":
            return _number(int, "a whole number", text)
        case "float":
            return _number(float, "a number", text)
        case "bool":
            return _boolean(text)
        case "dict":
            return _json(text, dict, "a JSON object")
        case "list" | "tuple":
            # A list of words is so common that it need not be JSON.
            return (
                _json(text, list, "a JSON list") if text.startswith("[") else text.replace(",", " ").split()
            )
        case "bytes":
            return text.encode()
        case "any":
            return _json_or_text(text)
        case _:
            if name == "timezone":
                _check_zone(text)
            return text


def _number(kind: Callable[[str], Any], expected: str, text: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"expected {expected}, found {text!r}") from None


def _boolean(text: str) -> Any:
    try:
        return strtobool(text.lower())
    except TypeError:
        raise ValueError(f"expected true or false, found {text!r}") from None


def _json(text: str, kind: type, expected: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError as error:
        # Without the text itself: options of a broker may hold a password.
        raise ValueError(f"expected {expected}; it cannot be read as JSON: {error}") from None
    if not isinstance(value, kind):
        raise ValueError(f"expected {expected}, found a {type(value).__name__}")  # noqa: TRY004 - reported like every wrong value
    return value


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _check_zone(text: str) -> None:
    try:
        zones.get_timezone(text)
    except (LookupError, ValueError, OSError, ImproperlyConfigured):
        raise ValueError(f"expected the name of a time zone such as Europe/Berlin, found {text!r}") from None


def _read_schedule(ini: _Ini, app: str, site_url: str, problems: list[str]) -> tuple[Entry, ...]:
    entries = {info.name: Entry(info.name, info, default_schedule(info, site_url), {}) for info in TASKS}
    for_one: set[str] = set()
    for section in ini.sections:
        match = BEAT_SECTION.fullmatch(section)
        if match is None or not _is_for(app, ini, section, match["app"], problems):
            continue
        name = match["name"]
        entry = _read_entry(section, name, ini.section(section), problems)
        # A section for this app wins over one for all of them, whichever comes first in the file.
        if match["app"] is None and name in for_one:
            continue
        if match["app"] is not None:
            for_one.add(name)
        if entry is None:
            entries.pop(name, None)
        else:
            entries[name] = entry
    return tuple(entries.values())


def _read_entry(section: str, name: str, lines: Mapping[str, str], problems: list[str]) -> Entry | None:
    """The entry a section stands for; None when it removes one, or cannot be read."""
    found = [
        f"[{section}] {key}: there is no such line{_did_you_mean(key, BEAT_KEYS)}; "
        f"expected {', '.join(BEAT_KEYS)}"
        for key in lines
        if key not in BEAT_KEYS
    ]
    default = f"tconnect.{name}"
    if lines.get("schedule", "").strip() == NEVER:
        if default not in BY_TASK:
            found.append(f"[{section}]: there is no scheduled task {name} to remove")
        problems.extend(found)
        return None
    task = lines.get("task", default if default in BY_TASK else "").strip()
    info = BY_TASK.get(task)
    if info is None:
        what = f"there is no task {task!r}{_did_you_mean(task, BY_TASK)}" if task else "is missing"
        found.append(f"[{section}] task: {what}; tasks are {', '.join(BY_TASK)}")
    schedule: crontab | timedelta | None = None
    kwargs: Mapping[str, Any] = {}
    try:
        schedule = _read_when(lines)
    except ValueError as error:
        found.append(f"[{section}] {error}")
    try:
        kwargs = _read_kwargs(lines.get("kwargs", "{}"), info)
    except ValueError as error:
        found.append(f"[{section}] kwargs: {error}")
    problems.extend(found)
    if found or info is None or schedule is None:
        return None
    return Entry(name, info, schedule, kwargs)


def _read_when(lines: Mapping[str, str]) -> crontab | timedelta:
    kind = lines.get("type", "").strip()
    if kind not in {"crontab", "timedelta"}:
        raise ValueError(f"type: expected crontab or timedelta, found {kind!r}")
    if "schedule" not in lines:
        raise ValueError('schedule: is missing; write for example {"minute": "5"}, or never')
    try:
        given = _json(lines["schedule"], dict, "a JSON object, or never")
        return _crontab(given) if kind == "crontab" else _timedelta(given)
    except (ValueError, TypeError, ParseException, OverflowError) as error:
        raise ValueError(f"schedule: {error}") from None


def _crontab(given: Mapping[str, Any]) -> crontab:
    _refuse_others(given, CRONTAB_KEYS)
    if "minute" not in given:
        # Celery would take every minute of that hour, which nobody means.
        raise ValueError('say the minute too, for example {"minute": "0", "hour": "3"}; "*" is every minute')
    for key, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise TypeError(f'{key}: expected text such as "*/5" or a number')
    return crontab(**given)


def _timedelta(given: Mapping[str, Any]) -> timedelta:
    _refuse_others(given, TIMEDELTA_KEYS)
    for key, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{key}: expected a number")
    length = timedelta(**given)
    if length.total_seconds() < 1:
        raise ValueError("expected a time of at least one second")
    return length


def _refuse_others(given: Iterable[str], known: tuple[str, ...]) -> None:
    for key in given:
        if key not in known:
            raise ValueError(f"there is no {key!r}{_did_you_mean(key, known)}; expected {', '.join(known)}")


def _read_kwargs(text: str, info: TaskInfo | None) -> Mapping[str, Any]:
    kwargs = _json(text, dict, "a JSON object")
    for key, value in kwargs.items():
        if info is not None and (key != "servers" or not info.per_server):
            takes = "only servers" if info.per_server else "nothing"
            raise ValueError(f"{info.task} does not take {key!r}, {takes}")
        if not isinstance(value, list) or not all(type(each) is int for each in value):
            raise ValueError(f"{key}: expected a list of ids, for example [1]")
    return dict(kwargs)


def _is_for(app: str, ini: _Ini, section: str, named: str | None, problems: list[str]) -> bool:
    """Whether a section holds for `app`. What is for another app of the file is that app's to check."""
    if named is not None and named not in ini.apps:
        problems.append(f"[{section}]: there is no app {named!r}; apps of this file: {', '.join(ini.apps)}")
    return named is None or named == app


def _with_defaults(
    app: str, folder: Path, given: Mapping[str, Any], schedule: tuple[Entry, ...]
) -> TaskConfig:
    queue = f"tconnect-{_plain(app)}"
    settings: dict[str, Any] = {
        "broker_url": "filesystem://localhost/",
        "broker_connection_retry_on_startup": True,
        # Names of its own, or two sites on one broker would take each other's tasks and answer each
        # other's pings.
        "task_default_queue": queue,
        "control_exchange": queue,
        "event_exchange": f"{queue}.events",
        "event_queue_prefix": f"{queue}.events",
        "beat_schedule_filename": str(folder / "beat"),
        "task_ignore_result": True,
        "task_soft_time_limit": SOFT_TIME_LIMIT,
        "task_time_limit": HARD_TIME_LIMIT,
        "worker_prefetch_multiplier": 1,
        "timezone": "UTC",
        **given,
        "enable_utc": True,
        "accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        "beat_schedule": {
            entry.name: {
                "task": entry.info.task,
                "schedule": entry.schedule,
                "kwargs": dict(entry.kwargs),
                "options": {"expires": entry.info.stale_after},
            }
            for entry in schedule
        },
    }
    folders = [Path(settings["beat_schedule_filename"]).parent]
    exchanges: list[Path] = []
    if str(settings["broker_url"]).startswith("filesystem:"):
        messages, control = folder / "broker" / "messages", folder / "broker" / "control"
        settings["broker_transport_options"] = {
            # In and out are one folder: whoever sends and whoever works are on this computer.
            "data_folder_in": str(messages),
            "data_folder_out": str(messages),
            "control_folder": str(control),
            **settings.get("broker_transport_options", {}),
        }
        options = settings["broker_transport_options"]
        folders += [Path(options[key]) for key in ("data_folder_in", "data_folder_out", "control_folder")]
        names = (
            queue,
            settings["task_default_queue"],
            settings["event_exchange"],
            f"{settings['control_exchange']}.pidbox",
            f"reply.{settings['control_exchange']}.pidbox",
        )
        exchanges = [Path(options["control_folder"]) / f"{name}.exchange" for name in dict.fromkeys(names)]
    return TaskConfig(app, settings, schedule, tuple(dict.fromkeys(folders)), tuple(exchanges))


def _did_you_mean(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return f" (did you mean {near[0]}?)" if near else ""
