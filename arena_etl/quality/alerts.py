"""Tell people what is wrong, once: a message per round and stage, routed by owner and severity, and one when it clears.

Messages follow from what is on record (sql/quality/standing.sql), not from a process that failed: whoever calls ``alert``
next sends what a killed worker could not. What a route was told is in the table ``alerts``.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import pyarrow as pa

from arena_etl.config import Alerts, Config, Route, digest
from arena_etl.errors import ArenaError
from arena_etl.lake import outcomes, quarantine
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.releases import Release, releases
from arena_etl.lake.tables import TABLES

STDOUT = "stdout"
RAISED, RECOVERED = "raised", "recovered"
NEWS = timedelta(days=7)  # who asks about all rounds, a new route first of all, does not hear of what is older
WATCH = "watch"  # table of what arena_etl/quality/watch.py records
_SEVERITIES = ("critical", "warning", "info")
_SHOWN = 300  # characters of what was observed

Problem = dict[str, Any]
Group = tuple[str | None, str | None]  # round, stage


@dataclass(frozen=True)
class Message:
    """What one channel is told about a round and stage. ``problems``: batch and expectation of each."""

    channel: str
    round: str | None
    stage: str | None
    state: str
    severity: str
    problems: tuple[str, ...]
    title: str
    text: str


def alert(config: Config, lake: Lake, round_: str | None, say: Callable[[str], None] = print) -> list[Message]:
    """Send what is new about a round (None: about all rounds and the watch) and return it.

    A channel hears of a round and stage again only when a further expectation fails there, or when nothing is wrong any
    more. Muted problems are not told. ``say`` carries the messages of ``stdout``, which hears all that is critical.

    Raises ArenaError, after all other messages went out, for routes that could not be delivered to: they are tried again by
    the next call.
    """
    problems = outcomes.standing(lake, round_, ingested(config))
    last = _last(lake)
    known = releases(lake)
    sent: list[Message] = []
    failed: list[str] = []
    for route in _routes(config.alerts):
        groups = {_group(problem) for problem in problems} | {
            (r, s) for r, s, channel in last if channel == route.name and (round_ is None or r in (None, round_))
        }
        for group in sorted(groups, key=lambda g: (g[0] or "", g[1] or "")):
            mine = [p for p in problems if _group(p) == group and _concerns(route, p)]
            message = _message(lake, route.name, group, mine, last.get((*group, route.name)), known)
            if message is None or (round_ is None and _is_old(message, mine)):
                continue
            if route.name == STDOUT:
                say(f"{message.title}\n{message.text}")
            elif not _deliver(route, message):
                failed.append(route.name)
                continue
            _record(lake, message)
            sent.append(message)
    if failed:
        raise ArenaError(
            f"alerts: could not deliver to {', '.join(sorted(set(failed)))}. Check its urls in `alerts.routes` and the network; "
            "`arena-etl quality alert` tries again."
        )
    return sent


def _is_old(message: Message, problems: Sequence[Problem]) -> bool:
    return message.state == RAISED and all(problem["created_at"] < datetime.now(UTC) - NEWS for problem in problems)


def stopped(config: Config, lake: Lake, round_: str) -> list[Problem]:
    """The problems that stop batches of a round now: what keeps it from being released."""
    return [problem for problem in outcomes.standing(lake, round_, ingested(config)) if problem["stops"]]


def ingested(config: Config) -> list[str]:
    """The batches without a round that every round waits for."""
    return [
        f"{table}/{source.name}"
        for source in config.sources
        for table in TABLES
        if TABLES[table].partition_by[:1] == ("source",)
    ]


def _routes(alerts: Alerts) -> list[Route]:
    return [Route(name=STDOUT, urls=("stdout://",)), *alerts.routes]


def _concerns(route: Route, problem: Problem) -> bool:
    owned = not route.owners or problem["owner"] in route.owners
    return owned and problem["severity"] in route.severities and problem["decision_id"] is None


def _group(problem: Problem) -> Group:
    return problem["round"], WATCH if problem["table"] == WATCH else problem["stage"]


def _message(
    lake: Lake,
    channel: str,
    group: Group,
    problems: Sequence[Problem],
    last: dict[str, Any] | None,
    known: list[Release],
) -> Message | None:
    """What there is to say; None where the channel knows it."""
    told = set(json.loads(last["problems"])) if last is not None and last["state"] == RAISED else set()
    fresh = [problem for problem in problems if not problem["muted"]]
    keys = {_key(problem) for problem in fresh}
    if keys - told:
        severity = min((problem["severity"] for problem in fresh), key=_SEVERITIES.index)
        what = "stopped by gate" if any(p["stops"] and p["table"] != WATCH for p in fresh) else f"{severity} problems"
        title, text = f"arena_etl: {_name(group)}: {what}", _text(lake, group, fresh, known)
        return Message(channel, *group, RAISED, severity, tuple(sorted(keys | told)), title, text)
    if told and not problems:
        text = f"Nothing of what was reported stands any more: {', '.join(sorted(told))}.\n{_readers(known)}"
        title = f"arena_etl: {_name(group)}: recovered"
        return Message(channel, *group, RECOVERED, str(last and last["severity"]), tuple(sorted(told)), title, text)
    return None


def _key(problem: Problem) -> str:
    return f"{problem['batch']}: {problem['expectation']}"


def _name(group: Group) -> str:
    round_, stage = group
    if stage == WATCH:
        return "watch"
    return ", ".join(filter(None, (f"round {round_}" if round_ else "ingest", stage and f"stage {stage}")))


def _text(lake: Lake, group: Group, problems: Sequence[Problem], known: list[Release]) -> str:
    lines = []
    for problem in problems:
        verb = "could not be checked" if problem["outcome"] == "broken" else "failed"
        lines += [
            f"- [{problem['severity']}] {problem['batch']}: {problem['expectation']} {verb}",
            f"  observed {_observed(problem)}",
            f"  allowed  {_cut(problem['limit'])}",
        ]
        if problem["failed_rows"]:
            lines.append(f"  {problem['failed_rows']:,} failing rows, the first: {_cut(problem['samples'] or '-')}")
        lines.append(f"  owner {problem['owner']}; what to do: {problem['runbook']}")
    lines += _held_back(lake, group, problems)
    lines += [_readers(known), f"Run again after the repair: {_command(group)}"]
    if overridable := sorted({p["table"] for p in problems if p["stops"] and p["table"] not in (WATCH, "budget")}):
        lines.append(f"Or override one gate once: {_command(group)} --accept {overridable[0]} --reason '...'")
    return "\n".join(lines)


def _held_back(lake: Lake, group: Group, problems: Sequence[Problem]) -> list[str]:
    lines = []
    if batches := sorted({p["batch"] for p in problems if p["stops"] and p["table"] not in (WATCH, "budget")}):
        lines.append(f"Held back: nothing of {', '.join(batches)} was published, nor what builds on it.")
    tables = {problem["table"] for problem in problems}
    held = [row for row in quarantine.rows(lake, round_=group[0]) if row["table"] in tables]
    for table, rows in groupby(sorted(held, key=lambda row: str(row["table"])), key=lambda row: row["table"]):
        lines.append(f"In quarantine: {len(list(rows)):,} rows of {table}: arena-etl quarantine list --table {table}")
    return lines


def _readers(known: list[Release]) -> str:
    if not known:
        return "Readers see no release yet."
    newest = known[-1]
    return (
        f"Readers see release {newest.release_id} (round {newest.round or '-'}, {newest.created_at:%Y-%m-%d %H:%M}Z)."
    )


def _command(group: Group) -> str:
    round_, stage = group
    if stage == WATCH:
        return "arena-etl quality watch"
    return f"arena-etl run --round {round_}" if round_ else "arena-etl ingest"


def _observed(problem: Problem) -> str:
    found = json.loads(problem["observed"])
    if isinstance(found, dict) and "examples" in found:
        return _cut(
            f"{found['failed']:,} of {found['of']:,}, such as {json.dumps(found['examples'], ensure_ascii=False)}"
        )
    return _cut(str(problem["observed"]))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text) - _SHOWN:,} more characters)"


def _deliver(route: Route, message: Message) -> bool:
    import apprise

    kinds = {"critical": apprise.NotifyType.FAILURE, "warning": apprise.NotifyType.WARNING}
    kind = (
        apprise.NotifyType.SUCCESS
        if message.state == RECOVERED
        else kinds.get(message.severity, apprise.NotifyType.INFO)
    )
    receivers = apprise.Apprise()
    understood = receivers.add([url.get_secret_value() for url in route.urls])
    return understood and bool(receivers.notify(body=message.text, title=message.title, notify_type=kind))


def _last(lake: Lake) -> dict[tuple[str | None, str | None, str], dict[str, Any]]:
    """The newest message of every round, stage and channel."""
    with lake.connect(["alerts"]) as connection:
        rows: Iterable[dict[str, Any]] = (
            connection.sql("select * from alerts order by created_at").to_arrow_table().to_pylist()
        )
    return {(row["round"], row["stage"], row["channel"]): row for row in rows}


def _record(lake: Lake, message: Message) -> None:
    now = datetime.now(UTC)
    row = {
        **vars(message),
        "problems": json.dumps(message.problems),
        "alert_id": digest([now, vars(message)])[:16],
        "created_at": now,
    }
    batch = pa.Table.from_pylist([row], schema=TABLES["alerts"].arrow_schema())
    lake.commit(Partition("alerts", (row["alert_id"],)), batch, 1, {})
