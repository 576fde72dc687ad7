"""Is the lake alive: checks that no audit makes, because nothing ran. Run it from somewhere else than what it watches.

Every check is on record like an audit's (``quality_results``, batch ``watch/CHECK``), so alerts tell of it once and of its end.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from arena_etl.config import Config, Judge, digest
from arena_etl.lake import outcomes, sql
from arena_etl.lake.delta import Lake
from arena_etl.lake.outcomes import Outcome
from arena_etl.lake.releases import releases
from arena_etl.lake.staging import last_written
from arena_etl.verdicts import calibration
from arena_etl.verdicts.ask import Question
from arena_etl.verdicts.judge import judge_id, judges
from arena_etl.verdicts.prompt import Exchange

TABLE = "watch"
OWNER = "data-platform"
HELD_ROUNDS = 10
DRIFT_HOURS = 24  # a judge is asked again once a day at most

Check = tuple[bool, Any, Any]  # whether it passes, what was observed, what is allowed


def watch(config: Config, lake: Lake, now: datetime | None = None) -> list[Outcome]:
    """Check the lake, put every outcome on record and return it. A check that raises is *broken*, and the others go on."""
    now = now or datetime.now(UTC)
    checks: list[tuple[str, str, Callable[[], Check | None]]] = [
        ("freshness", "freshness", lambda: _freshness(config, lake, now)),
        ("silence", "silence", lambda: _silence(config, lake, now)),
        ("stuck", "stuck", lambda: _stuck(config, lake, now)),
        ("held-rows", "held-rows", lambda: _held(config, lake)),
    ]
    if config.watch.audit_sample:
        checks += [
            (f"judge-drift/{name}", "judge-drift", lambda judge=judge: _drift(config, lake, judge, now))  # type: ignore[misc]
            for name, judge in judges(config).items()
        ]
    found = []
    for name, anchor, check in checks:
        outcome = _outcome(name, anchor, check)
        if outcome is not None:
            outcomes.record(lake, f"{TABLE}/{name}", [outcome], digest(config.watch.model_dump()))
            found.append(outcome)
    return found


def _outcome(name: str, anchor: str, check: Callable[[], Check | None]) -> Outcome | None:
    try:
        result = check()
    except Exception as error:  # noqa: BLE001 - whatever it is, the other checks go on
        result = None
        state, observed, limit = "broken", {"error": str(error)}, None
    else:
        if result is None:
            return None
        passes, observed, limit = result
        state = "pass" if passes else "fail"
    owner = "judging" if anchor == "judge-drift" else OWNER
    return Outcome(
        name, "critical", state, json.dumps(observed), json.dumps(limit), None, owner, f"docs/runbook.md#{anchor}"
    )


def _freshness(config: Config, lake: Lake, now: datetime) -> Check:
    """The round after the newest released one is released by its deadline."""
    rounds = [release.round for release in releases(lake) if release.round]
    newest = max(rounds, default=None)
    hours = config.watch.released_by_hours
    if newest is None:
        return False, {"newest_release": None}, {"released_by_hours": hours}
    deadline = datetime.fromisoformat(f"{newest}T00:00:00+00:00") + timedelta(days=1, hours=hours)
    return now <= deadline, {"newest_release": newest}, {"next_by": f"{deadline:%Y-%m-%d %H:%M}Z"}


def _silence(config: Config, lake: Lake, now: datetime) -> Check:
    """Something was audited lately."""
    with lake.connect(["quality_results"]) as connection:
        [(last,)] = connection.execute(
            'select epoch(max(created_at)) from quality_results where "table" <> ?', [TABLE]
        ).fetchall()
    hours = (now.timestamp() - last) / 3600 if last is not None else None
    limit = config.watch.silent_hours
    return hours is not None and hours <= limit, {"hours_since_an_audit": _round(hours)}, {"silent_hours": limit}


def _stuck(config: Config, lake: Lake, now: datetime) -> Check:
    """Batches that are being made get new rows. One that a gate stopped waits for a person, who knows of it already."""
    stopped = {problem["batch"] for problem in outcomes.standing(lake) if problem["stops"]}
    limit = config.watch.stuck_hours
    idle = {
        key: _round((now - written).total_seconds() / 3600)
        for key, written in last_written(lake).items()
        # Verdicts on labelled pairs are kept there for good.
        if key not in stopped and not key.startswith("verdicts/calibration/") and now - written > timedelta(hours=limit)
    }
    return not idle, {"idle_hours": idle}, {"stuck_hours": limit}


def _held(config: Config, lake: Lake) -> Check:
    """Quarantine does not grow over the allowed share in the newest round."""
    with lake.connect(["quality_results", "quarantine"]) as connection:
        rows = sql.run(connection, "quality/held_shares", rounds=HELD_ROUNDS).to_arrow_table().to_pylist()
    shares = {row["round"]: _round(row["share"] or 0.0) for row in rows}
    limit = config.watch.max_held_share
    return not rows or (rows[0]["share"] or 0) <= limit, {"share_by_round": shares}, {"max_held_share": limit}


def _drift(config: Config, lake: Lake, judge: Judge, now: datetime) -> Check | None:
    """The judge, asked again about games of its own past, names the same winners. None: nothing to ask, or asked lately."""
    identity = judge_id(judge)
    with lake.connect(["verdicts", "responses", "instructions", "quality_results"]) as connection:
        games = sql.run(connection, "quality/audit_sample", judge_id=identity, size=config.watch.audit_sample)
        rows = games.to_arrow_table().to_pylist()
        [(last,)] = connection.execute(
            "select epoch(max(created_at)) from quality_results where batch = ?", [f"{TABLE}/judge-drift/{judge.name}"]
        ).fetchall()
    if not rows or (last is not None and now.timestamp() - last < DRIFT_HOURS * 3600):
        return None
    questions = [_question(number, row) for number, row in enumerate(rows)]
    rulings = {ruling.key: ruling for ruling in calibration.play(config, lake, judge, questions)}
    changed, shifts = 0, []
    for number, row in enumerate(rows):
        parsed = rulings[str(number)].parsed
        first = row["shown_first"] == "model_a"
        before = (row["score_a"], row["score_b"]) if first else (row["score_b"], row["score_a"])
        if parsed.shown_a is None or parsed.shown_b is None:
            changed += 1
            continue
        changed += _sign(parsed.shown_a - parsed.shown_b) != _sign(before[0] - before[1])
        shifts.append((parsed.shown_a + parsed.shown_b - sum(before)) / 2)
    observed = {
        "judge_id": identity,
        "games": len(rows),
        "changed": _round(changed / len(rows)),
        "mean_score_shift": _round(sum(shifts) / len(shifts)) if shifts else None,
    }
    return changed / len(rows) <= config.watch.max_drift, observed, {"max_drift": config.watch.max_drift}


def _question(number: int, row: dict[str, Any]) -> Question:
    texts = (row["text_a"], row["text_b"])
    first, second = texts if row["shown_first"] == "model_a" else texts[::-1]
    return Question(str(number), (Exchange(row["instruction"], first, second),), row["category"], row["reference"])


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
