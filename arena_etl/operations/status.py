"""Where every round stands: which step of which stage is published, and what is released."""

from collections.abc import Mapping
from typing import Any

from arena_etl.config import Config
from arena_etl.contestants import champion
from arena_etl.errors import InputError
from arena_etl.flywheel import STEPS, ingest_plan, round_plan
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.releases import releases
from arena_etl.progress import notes
from arena_etl.rounds import fought_in


def status(config: Config, lake: Lake, round_: str | None = None) -> list[dict[str, Any]]:
    """One entry per round that has anything, newest first; with ``round_``, that one.

    Per entry: ``round``; ``stages``: step -> ``done`` or ``pending`` per stage; ``steps``: those of the whole round;
    ``release``: id of the newest release of the round or None; ``champion``: who opens the first stage;
    ``promotions``: decision per stage; ``running``: notes of units at work (``progress.notes``). ``done`` means
    published, whatever the configuration is now.
    """
    published = releases(lake)
    running = notes(lake)
    ingesting = {name for name, _ in ingest_plan(config)}
    with lake.connect(["slices", "promotions"]) as connection:
        rounds = [row[0] for row in connection.sql("select distinct round from slices order by round desc").fetchall()]
        decisions = connection.sql("select round, stage, decision from promotions").fetchall()
    if round_ is not None:
        rounds = [round_]
    entries = []
    for each in rounds:
        stages: dict[str, dict[str, str]] = {stage: {} for stage in config.stages}
        steps: dict[str, str] = {}
        for name, keys in round_plan(config, each):
            if name in ingesting:
                continue
            done = "done" if lake.fingerprint(Partition(STEPS[name].table, keys)) else "pending"
            if len(keys) == 1:
                steps[name] = done
            else:
                stage = fought_in(keys[1])
                detail = keys[2] if len(keys) == 3 else keys[1] if keys[1] != stage else None
                stages[stage][f"{name}:{detail}" if detail else name] = done
        release = [r.release_id for r in published if r.round == each]
        entries.append(
            {
                "round": each,
                "stages": stages,
                "steps": steps,
                "release": release[-1] if release else None,
                "champion": champion(config, lake, each, config.stages[0]).contestant_id,
                "running": [note for note in running if note["partition"].split("/")[1] == each],
                "promotions": {stage: decision for r, stage, decision in decisions if r == each},
            }
        )
    return entries


def newest_round(lake: Lake, versions: Mapping[str, int] | None = None) -> str:
    """The newest round that was started, as far as these table versions know. Raises InputError when there is none."""
    with lake.connect(["slices"], versions) as connection:
        [(newest,)] = connection.sql("select max(round) from slices").fetchall()
    if newest is None:
        raise InputError(f"lake {lake.storage.root}: no round yet. `arena-etl run --round today` makes the first.")
    return str(newest)
