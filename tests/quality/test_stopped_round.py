"""A night with a planted fault, as the person on call lives it: exit code, message, repair, message."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from arena_etl.config import Config
from arena_etl.lake.delta import Lake
from arena_etl.lake.releases import releases
from tests.quality.test_alerts import Receiver, receiver  # noqa: F401 - a fixture
from tests.tiny_round import NEXT


def arena(config: Config, folder: Path, *arguments: str, **changes: Any) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with these settings changed."""
    file = folder / "arena.yaml"
    file.write_text(json.dumps({**config.model_dump(mode="json"), **changes}), encoding="utf-8")  # JSON is YAML
    command = [sys.executable, "-m", "arena_etl", "--config", str(file), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_stopped_told_repaired_told(second_night: Config, tmp_path: Path, receiver: Receiver) -> None:  # noqa: F811
    config = second_night.model_copy(update={"stages": ("sft",)})
    alerts = {"routes": [{"name": "on-call", "urls": [receiver.url]}]}
    # The planted fault: a judge that cannot write verdicts, where all of them must be readable.
    judge = {**config.judge.model_dump(mode="json"), "verifiers": False}
    quality = {**config.quality.model_dump(mode="json"), "min_parse_rate": 1.0}
    lake = Lake.open(config)
    before = releases(lake)

    run = ("run", "--round", NEXT)
    for _ in range(2):
        stopped = arena(config, tmp_path, *run, alerts=alerts, judge=judge, quality=quality)
        assert stopped.returncode == 3, stopped.stderr
        assert "quality gate stopped verdicts/" in stopped.stderr
    assert "arena_etl: round 2026-01-06, stage sft: stopped by gate" not in stopped.stdout  # it was told
    assert releases(lake) == before
    assert [message["type"] for message in receiver.received] == ["failure"]

    report = json.loads(arena(config, tmp_path, "quality", "report", "--round", NEXT, "--json").stdout)
    assert [problem["expectation"] for problem in report["standing"] if problem["stops"]] == [
        "expect_column_values_to_be_in_set(parse_status)/parse-rate"
    ]
    assert report["pages"] and report["alerts"]
    assert "stop their batch" in arena(config, tmp_path, "quality", "report", "--round", NEXT).stdout

    repaired = arena(config, tmp_path, *run, alerts=alerts, judge=judge)
    assert repaired.returncode == 0, repaired.stderr
    assert [release.round for release in releases(lake)] == [before[0].round, NEXT]
    assert [message["type"] for message in receiver.received] == ["failure", "success"]
    assert "recovered" in receiver.received[1]["title"]
