"""How verbs do steps of a round: with their audits, a line for each, and alerts at the end."""

from collections.abc import Sequence
from typing import Any

from arena_etl.cli.base import author, open_lake
from arena_etl.cli.output import plain, print_json, stderr, stdout
from arena_etl.config import Config
from arena_etl.errors import ArenaError, GateStopped


def do_steps(
    plan: Sequence[tuple[str, tuple[str, ...]]],
    as_json: bool,
    quiet: bool = False,
    acceptance: Any = None,
    config: Config | None = None,
) -> list[dict[str, Any]]:
    """Do the steps with their audits; a line per step on stderr, the summaries as JSON where asked for."""
    from arena_etl.flywheel import STEPS, do
    from arena_etl.lake.tables import TABLES

    configured, lake = open_lake()
    config = config or configured
    say = (stderr if as_json or quiet else stdout).print
    round_ = next((keys[0] for name, keys in plan if "round" in TABLES[STEPS[name].table].partition_by), None)
    summaries = []
    for name, keys in plan:
        try:
            summary = do(config, lake, name, *keys, acceptance=acceptance)
        except GateStopped:
            send_alerts(config, lake, round_, say)
            raise
        summaries.append({**summary, "keys": list(keys)})
        if not quiet:
            report_step(name, keys, summary)
    send_alerts(config, lake, round_, say)
    if acceptance is not None and acceptance.decision_id is None:
        stderr.print(f"--accept {acceptance.table}: no gate stopped it, so nothing was overridden", markup=False)
    if as_json:
        print_json(summaries)
    return summaries


def report_step(name: str, keys: tuple[str, ...], summary: dict[str, Any]) -> None:
    facts = ", ".join(f"{key} {plain(value)}" for key, value in summary.items() if key not in ("step", "table"))
    stderr.print(f"{name} {'/'.join(keys)}: {facts}", markup=False)


def acceptance_of(table: str | None, reason: str) -> Any:
    """The gate that a person overrides, if any."""
    from arena_etl.quality.decisions import Acceptance

    return Acceptance(table, reason, author()) if table is not None else None


def send_alerts(config: Config, lake: Any, round_: str | None, say: Any) -> None:
    """Tell people what is new; that a message could not be delivered does not change what the command did."""
    from arena_etl.quality.alerts import alert

    try:
        alert(config, lake, round_, lambda text: say(text, markup=False))
    except ArenaError as error:
        stderr.print(f"warning: {error}", markup=False)
