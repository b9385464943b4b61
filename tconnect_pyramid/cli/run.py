"""`tconnect client run`: looking back at syncs, and how one is shown wherever it is told of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import click

from tconnect_pyramid.cli.base import ACTOR, command, csv_option
from tconnect_pyramid.cli.config import Site
from tconnect_pyramid.cli.output import DONE, FAILED, HELD, Answer, Csv, Rows, described, moment, working
from tconnect_pyramid.client import runs, servers, undo
from tconnect_pyramid.client.sync import pause
from tconnect_pyramid.client.sync.report import LineView, RunReport
from tconnect_pyramid.client.syncing import HANDSHAKE
from tconnect_pyramid.context import Context

RUN_COLUMNS = (
    ("Run", "run"),
    ("Kind", "kind"),
    ("Server", "server"),
    ("State", "state"),
    ("Counts", "counted"),
    ("Seconds", "seconds"),
)
LINE_COLUMNS = (
    ("What", "action"),
    ("Id there", "remote_id"),
    ("Account", "account"),
    ("Who", "subject"),
    ("Detail", "detail"),
)
NO_LINES = "It is about nobody and nothing."
LINE_KEYS = (*(key for _, key in LINE_COLUMNS), "collection")
CSV_COLUMNS = ("kind", "server", *LINE_KEYS)
STATUS = {"failed": FAILED, "partial": FAILED, "held": HELD}
"""The exit status of a run by its state; the others are done."""


@click.group()
def run() -> None:
    """Look back at syncs, and decide about one that is held."""


@command(run, "list")
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, newest first."
)
def list_runs(site: Site, limit: int) -> Answer:
    """The last syncs, newest first."""
    context = site.migrated()
    with context.reading() as session:
        reports = runs.list_runs(session, limit=limit)
        paused = pause.list_paused(session)
    return Answer(
        [run_row(report) for report in reports],
        [
            *run_table(context, reports, started=True),
            *(
                f"{each.kind} from {each.server}: paused since run {each.run} was undone; `{each.remedy}` lets it go on."
                for each in paused
            ),
        ],
    )


@command(run, "show")
@click.argument("run", type=int)
@csv_option
def show_run(site: Site, run: int, as_csv: bool) -> Answer:
    """One sync with what it did, or wanted to do, to whom."""
    context = site.migrated()
    report = runs.show_run(context, run)
    summary = run_row(report)
    [told] = _summaries(context, [report])
    return Answer(
        lambda: {**summary, "lines": [*lines_of(report)]},
        run_csv(context, [report])
        if as_csv
        else [
            described({**summary, "server": told["server"], "counts": told["counted"]}),
            Rows(LINE_COLUMNS, lines_of(report), NO_LINES),
        ],
    )


@command(run, "approve")
@click.argument("run", type=int)
def approve(site: Site, run: int) -> Answer:
    """Allow what a held sync would remove, and start it anew; what is wanted beyond that is held again.

    What is not wanted any more is listed with the reason. Where the new sync fails, or another one is under way, the
    approval stands for 24 hours, and the next sync uses it.
    """
    context = site.migrated()
    with working(f"Run {run} anew"):
        report = runs.approve_run(context, run, actor=ACTOR)
    unwanted = [_line(line) for line in runs.unwanted_of(report)]
    told = Rows(LINE_COLUMNS, unwanted, "", title="Approved, and not wanted any more:")
    return Answer(
        {**run_row(report), "unwanted": unwanted},
        [*run_table(context, [report]), *([told] if unwanted else [])],
        STATUS.get(report.state, DONE),
    )


@command(run, "reject")
@click.argument("run", type=int)
def reject(site: Site, run: int) -> Answer:
    """Decide that a held sync is not to be done, also if it was approved before."""
    context = site.migrated()
    runs.reject_run(context, run, actor=ACTOR)
    row = run_row(runs.show_run(context, run))
    return Answer(row, f"Run {run} is rejected; nothing was changed.")


@command(run, "undo")
@click.argument("run", type=int)
@click.option("--dry-run", is_flag=True, help="Only say what would become of whom.")
def undo_run(site: Site, run: int, dry_run: bool) -> Answer:
    """Take back what a sync of people did, where nobody has changed it since, and pause that sync.

    `client sync users --server SERVER --resume` lets it go on. Status 1 when something was changed since, and left.
    """
    context = site.migrated()
    with working(f"Undoing run {run}"):
        report = undo.undo_run(context, run, actor=ACTOR, dry_run=dry_run)
    return Answer(
        lambda: {**run_row(report), "lines": [*lines_of(report)]},
        run_table(context, [report], lines=True),
        FAILED if report.counts["skipped"] else DONE,
    )


def run_row(report: RunReport) -> dict[str, object]:
    """A run for `--json`, without its lines."""
    return {
        "kind": report.kind,
        "server": report.server,
        "run": report.run,
        "state": report.state,
        "counts": report.counts,
        "seconds": report.seconds,
        "message": report.message,
        "origin": report.origin,
        "started": report.started or None,
        "approved_by": report.approved_by,
        "approved": report.approved,
    }


def lines_of(report: RunReport) -> Iterator[dict[str, object]]:
    """What a run did to whom."""
    yield from map(_line, report.lines)


def _line(line: LineView) -> dict[str, object]:
    return {key: getattr(line, key) for key in LINE_KEYS}


def _counted(report: RunReport) -> str:
    return ", ".join(f"{number} {name}" for name, number in report.counts.items() if number)


def _decision(row: Mapping[str, object]) -> str:
    # A dry run leaves nothing to decide about.
    if row["state"] != "held" or row["run"] is None:
        return ""
    return f"`tconnect client run show {row['run']}` shows whom it is about, `run approve` and `run reject` decide."


def _summaries(context: Context, reports: Sequence[RunReport]) -> list[dict[str, object]]:
    """A row for each run, with the server's name."""
    with context.reading() as session:
        names = {view.idnumber: view.name for view in servers.list_servers(session)}
    return [
        {
            **run_row(report),
            "server": names.get(report.server, report.server),
            "state": "held, approved" if report.state == "held" and report.approved else report.state,
            "counted": _counted(report),
            "when": moment(report.started),
        }
        for report in reports
    ]


def run_csv(context: Context, reports: Sequence[RunReport]) -> Csv:
    """The lines of runs for a spreadsheet."""
    rows = _summaries(context, reports)
    return Csv(
        CSV_COLUMNS,
        (
            {"kind": row["kind"], "server": row["server"], **line}
            for row, report in zip(rows, reports, strict=True)
            for line in lines_of(report)
        ),
        "\n".join(_said(row, row["counted"]) for row in rows),
    )


def run_table(
    context: Context, reports: Sequence[RunReport], *, started: bool = False, lines: bool = False
) -> list[Rows]:
    """Runs as a table, with what is to be said of each; with `lines` what each did to whom."""
    rows = _summaries(context, reports)
    columns = (("Started (UTC)", "when"), *RUN_COLUMNS) if started else RUN_COLUMNS
    tables = [Rows(columns, rows, "Nothing was synchronised yet.")]
    if lines:
        tables += [
            Rows(LINE_COLUMNS, lines_of(report), "", title=f"{row['kind']} from {row['server']}:")
            for row, report in zip(rows, reports, strict=True)
        ]
    # Behind the tables, as a narrow column would break a sentence into pieces.
    said = [
        _said(row)
        for row in rows
        # Of what went well too, such as that a setting is off; but not which version was agreed on.
        if not started and row["message"] and (row["kind"] != HANDSHAKE or row["state"] != "done")
    ]
    return [*tables[:-1], replace(tables[-1], after="\n".join(said))]


def _said(row: Mapping[str, object], counted: object = "") -> str:
    told = " ".join(str(part) for part in (row["message"], _decision(row), counted) if part)
    return f"{row['kind']} from {row['server']}: {row['state']}: {told}"
