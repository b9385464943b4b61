"""`make demo`: the two sites of an ini, connected and filled, with their workers, until Ctrl-C.

    python -m tconnect_pyramid.site.demo development.ini

The ini holds the apps and servers `server` and `client`; all state is kept below its folder `var`, so a
second start goes on where the first one stopped.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn

from sqlalchemy import select

from tconnect_pyramid import schema
from tconnect_pyramid.client import servers as client_role
from tconnect_pyramid.client.connecting import open_invitation
from tconnect_pyramid.client.sync.engine import KINDS, run_sync
from tconnect_pyramid.context import Context, make_idnumber
from tconnect_pyramid.directory.hierarchies import ORGANISATIONS, POSITIONS
from tconnect_pyramid.directory.hierarchy_frameworks import list_frameworks
from tconnect_pyramid.errors import PeerError, SyncBusy, TConnectError
from tconnect_pyramid.models import Audience, Course
from tconnect_pyramid.protocol import paths
from tconnect_pyramid.server import clients as server_role
from tconnect_pyramid.site.seed import ADMIN_USER, SAMPLE_PASSWORD, SAMPLE_USER, seed
from tconnect_pyramid.tasks.config import read_config
from tconnect_pyramid.tasks.glue import open_site
from tconnect_pyramid.transport import call
from tconnect_pyramid.wiring import context_of

SERVER, CLIENT = "server", "client"
ACTOR = "command"

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
START_SECONDS = 60.0
STOP_SECONDS = 8.0
"""How long the processes have to end what they are at, before they are killed."""
REGISTER_SECONDS = 60.0
POLL_SECONDS = 0.2
LOG_LINES = 20


class DemoFailed(Exception):
    """The demo cannot go on; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process of the demo and the file that its output goes to."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def tail(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-LOG_LINES:])


class Children:
    """The processes of the demo: started apart from the terminal, so that Ctrl-C reaches only us."""

    def __init__(self) -> None:
        self._children: list[Child] = []
        self._starting = False
        self._interrupted = False

    def interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        """Handle a signal by KeyboardInterrupt, once, and never while a process is being started."""
        if self._interrupted:
            return
        self._interrupted = True
        if not self._starting:
            raise KeyboardInterrupt

    def start(self, name: str, command: Sequence[str], log: Path) -> Child:
        """Start a process that logs to a new file `log`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        self._starting = True
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own programs
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A session of its own: a signal to the whole group would hang a worker of several processes.
                start_new_session=True,
            )
        child = Child(name, process, log)
        self._children.append(child)
        self._starting = False
        if self._interrupted:
            raise KeyboardInterrupt
        return child

    def check(self) -> None:
        """Raise DemoFailed when one of them has ended."""
        for child in self._children:
            status = child.process.poll()
            if status is not None:
                raise DemoFailed(
                    f"{child.name} ended by itself (status {status}). "
                    f"The end of its log, {child.log}:\n{child.tail()}"
                )

    def wait_until(self, what: str, ready: Callable[[], bool]) -> None:
        """Return once `ready` says so. Raises DemoFailed when a process ends, or it takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise DemoFailed(f"{what} is not ready after {START_SECONDS:.0f} seconds.")
            time.sleep(POLL_SECONDS)
        # Ready may also be somebody else's process, where ours found its port taken.
        self.check()

    def watch(self) -> NoReturn:
        """Stay until one of them ends, which is a DemoFailed, or a signal comes."""
        while True:
            self.check()
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End all of them, the last one first, and whatever they have started."""
        for child in reversed(self._children):
            if child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for child in self._children:
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
        for child in self._children:
            # What a killed worker leaves behind: the processes of its pool, and its beat.
            with suppress(ProcessLookupError):
                os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()


def main(arguments: Sequence[str]) -> int:
    """Run the demo of the ini file in `arguments`; gives the exit status."""
    if len(arguments) != 1 or arguments[0].startswith("-") or "#" in arguments[0]:
        _say("usage: python -m tconnect_pyramid.site.demo FILE.ini")
        return 2
    children = Children()
    for each in SIGNALS:
        signal.signal(each, children.interrupt)
    try:
        _run(arguments[0], children)
    except KeyboardInterrupt:
        return 0
    except (DemoFailed, TConnectError) as error:
        _say(f"The demo stops: {error}")
        return 1
    finally:
        # Stopping takes some seconds at most; another Ctrl-C must not leave anything behind.
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        _say("Stopping …")
        children.stop()


def _run(ini: str, children: Children) -> NoReturn:
    for app in (SERVER, CLIENT):
        read_config(f"{ini}#{app}")
    _say("Preparing the databases …")
    server, client = (context_of(open_site(f"{ini}#{app}")) for app in (SERVER, CLIENT))
    _prepare_server(server)
    _prepare_client(client)
    var = Path(ini).absolute().parent / "var"
    _say("Starting the two sites …")
    for app, context in ((SERVER, server), (CLIENT, client)):
        _refuse_used_port(app, context)
        children.start(f"The {app}", _web_command(ini, app), var / app / "web.log")
    for app, context in ((SERVER, server), (CLIENT, client)):
        children.wait_until(f"The {app}", partial(_answers, context))
    server_id = _connect(server, client)
    _say("First sync …")
    _sync(client, server_id)
    _say("Starting the workers …")
    for app in (SERVER, CLIENT):
        log = var / app / "worker.log"
        worker = children.start(f"The worker of the {app}", _worker_command(ini, app), log)
        children.wait_until(worker.name, partial(_is_ready, worker))
    _announce(ini, server, client)
    children.watch()


def _prepare_server(context: Context) -> None:
    _upgrade(context)
    with context.reading() as session:
        filled = SAMPLE_USER in context.accounts.by_username(session, [SAMPLE_USER])
    if not filled:
        # Not again: whom somebody deleted to see what happens must not come back.
        seed(context)
    with context.unit() as session:
        if not context.options(session).server_enabled:
            server_role.enable(session, context, True, actor=ACTOR)


def _prepare_client(context: Context) -> None:
    _upgrade(context)
    # With the types and custom fields by which it recognises what the server sends.
    seed(context, people=0)
    with context.unit() as session:
        if not context.options(session).client_enabled:
            client_role.enable(session, context, True, actor=ACTOR)


def _upgrade(context: Context) -> None:
    with context.unit() as session:
        schema.upgrade(session.connection())
        make_idnumber(session)


def _web_command(ini: str, app: str) -> list[str]:
    return [sys.executable, "-m", "pyramid.scripts.pserve", ini, "--app-name", app, "--server-name", app]


def _worker_command(ini: str, app: str) -> list[str]:
    celery = [sys.executable, "-m", "celery", "-A", "tconnect_pyramid.tasks", "worker"]
    # Tasks in the main process, with beat beside it: a pool would take seconds to end after Ctrl-C.
    options = ["-B", "-P", "solo", "-c", "1", "-l", "INFO"]
    return [*celery, *options, "-n", f"{app}@%h", "--ini", f"{ini}#{app}"]


def _answers(context: Context) -> bool:
    """Whether a site answers at the address of `context`, by a call that it refuses."""
    try:
        call(context.transport, paths.join(context.settings.site_url, paths.SERVER_SEP), (), timeout=10.0)
    except PeerError as error:
        if error.layer == "connect":
            return False
        raise
    return True


def _refuse_used_port(app: str, context: Context) -> None:
    try:
        used = _answers(context)
    except PeerError as error:
        if error.layer in {"address", "dns"}:
            raise
        used = True
    if used:
        raise DemoFailed(
            f"something else answers at {context.settings.site_url} already. Stop it (another demo?), or "
            f"change the port in [server:{app}] and in tconnect.site_url of [app:{app}]."
        )


def _connect(server: Context, client: Context) -> int:
    """Connect the two sites as two administrators would; gives the server's id at the client."""
    with server.reading() as session:
        idnumber = server.idnumber(session)
        known = [each for each in server_role.list_clients(session) if each.url == client.settings.site_url]
        audiences = tuple(session.scalars(select(Audience.id).order_by(Audience.id)))
        courses = tuple(session.scalars(select(Course.id).order_by(Course.id)))
        position_frameworks = tuple(each.id for each in list_frameworks(session, POSITIONS))
        organisation_frameworks = tuple(each.id for each in list_frameworks(session, ORGANISATIONS))
    connected = _connected(client, idnumber)
    if connected is not None and connected.client_idnumber in {each.idnumber for each in known}:
        return connected.id
    _say("Connecting them …")
    for each in known:
        # Of a client whose data somebody has removed.
        server_role.remove_client(server, each.id, actor=ACTOR)
    with client.unit() as session:
        invitation = open_invitation(session, client, actor=ACTOR)
    wishes = server_role.ClientWishes(
        name=client.settings.site_name,
        url=invitation.client_url,
        add_new_audiences=True,
        add_new_courses=True,
        audiences=audiences,
        courses=courses,
        position_frameworks=position_frameworks,
        organisation_frameworks=organisation_frameworks,
    )
    server_role.register_client(
        server, wishes, invitation.setup_secret, actor=ACTOR, timeout=REGISTER_SECONDS
    )
    connected = _connected(client, idnumber)
    if connected is None:
        raise DemoFailed(f"{client.settings.site_name} does not know the server that it was connected to.")
    return connected.id


def _connected(client: Context, idnumber: str) -> client_role.ServerView | None:
    with client.reading() as session:
        known = client_role.list_servers(session, active_only=True)
    return next((each for each in known if each.idnumber == idnumber), None)


def _sync(client: Context, server_id: int) -> None:
    for kind in KINDS:
        try:
            report = run_sync(client, kind, server_id, origin=ACTOR)
        except SyncBusy as error:
            _say(f"The sync of {kind} is left to the schedule: {error}")
            continue
        if report.state != "done":
            # Whoever has played with the data wants the sites all the same.
            _say(f"The sync of {kind}: {report.state}. {report.message}")


def _is_ready(worker: Child) -> bool:
    return b" ready." in worker.log.read_bytes()


def _announce(ini: str, server: Context, client: Context) -> None:
    tconnect = Path(sys.executable).with_name("tconnect")
    if tconnect.is_relative_to(Path.cwd()):
        tconnect = tconnect.relative_to(Path.cwd())
    sync = f"{shlex.quote(str(tconnect))} -c {shlex.quote(ini)}#{CLIENT} client sync users"
    sys.stdout.write(
        f"\n"
        f"Server: {server.settings.site_url}\n"
        f"Client: {client.settings.site_url}\n"
        f"Log in on the server: user {SAMPLE_USER} password {SAMPLE_PASSWORD}\n"
        f"Sync by hand: {sync}\n"
        f"Each site has an administrator too: {ADMIN_USER}, with the same word to log in.\n"
        f"Ctrl-C ends it all.\n"
    )
    sys.stdout.flush()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
