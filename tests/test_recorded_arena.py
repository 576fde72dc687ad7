"""Eight published models on AlpacaEval, judged by a server that repeats published verdicts; killed twice, resumed.

Slow: 805 instructions, 6,440 answers and 11,270 games. `make test-slow`.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from arena_etl import config as configuration
from arena_etl.flywheel import do
from arena_etl.lake.delta import Lake
from arena_etl.lake.staging import staged
from tests.shared_data import SHARED_DATA
from tests.stub_openai import chat, serve

JUDGE = "weighted_alpaca_eval_gpt4_turbo"
BASELINE = "gpt4_1106_preview"
MODELS = (
    "NullModel",
    "alpaca-7b",
    "claude",
    "claude-2.1",
    "oasst-sft-pythia-12b",
    "vicuna-7b-v1.3",
    "wizardlm-13b",
)
ROUND = "2024-01-01"
KEYS = (ROUND, "sft", "training")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="needs the published answers and verdicts (SHARED_DATA)"),
]


def head(text: str) -> str:
    """What tells an answer from others, also after the prompt has put it between its tags."""
    return re.sub(r"\W", "", text)[:200]


class Published:
    """Answers and verdicts as published, and a judge that repeats them."""

    def __init__(self) -> None:
        connection = duckdb.connect()
        folder = SHARED_DATA / "alpaca_eval"
        names = [BASELINE, *MODELS]
        self.outputs: list[tuple[str, str, str]] = connection.execute(
            f"select model, instruction_id, output from '{folder}/outputs.parquet' where list_contains($names, model)",
            {"names": names},
        ).fetchall()
        self.verdicts: dict[tuple[str, str], float] = {
            (model, instruction): score
            for model, instruction, score in connection.execute(
                f"select model, instruction_id, score_model from '{folder}/verdicts.parquet' "
                "where judge = $judge and baseline = $baseline and list_contains($names, model)",
                {"judge": JUDGE, "baseline": BASELINE, "names": names},
            ).fetchall()
        }
        self.instructions: list[tuple[str, str]] = connection.sql(
            f"select instruction_id, instruction from '{SHARED_DATA}/instructions.parquet' where source = 'alpaca_eval'"
        ).fetchall()
        self.said = {(head(output), model, i) for model, i, output in self.outputs}
        self._who: dict[tuple[str, str], list[str]] = {}
        self.which: dict[
            str, str
        ] = {}  # what tells an instruction as the lake has it, where phone numbers are redacted
        for model, instruction, output in self.outputs:
            self._who.setdefault((instruction, head(output)), []).append(model)

    def judge(self, body: dict[str, Any]) -> str:
        """``Score-A`` and ``Score-B`` by the published preference, in whatever order the answers are shown."""
        shown = body["messages"][-1]["content"]
        instruction = self.which[head(re.search(r"Instruction: (.*?)\n\n<answer_a>", shown, re.DOTALL)[1])]  # type: ignore[index]
        answers = [re.search(rf"<answer_{s}>(.*)</answer_{s}>", shown, re.DOTALL)[1] for s in "ab"]  # type: ignore[index]
        first, second = (self._who.get((instruction, head(answer)), []) for answer in answers)
        swapped = BASELINE in second
        model = next(name for name in (first if swapped else second) if name != BASELINE)
        score = self.verdicts.get((model, instruction))
        if score is None:
            return "No verdict was published."
        mine, baseline = 1 + 9 * score, 10 - 9 * score
        a, b = (mine, baseline) if swapped else (baseline, mine)
        return f"Score-A: {a:.6f}\nScore-B: {b:.6f}\nReason: as published."


def killed(command: list[str], environment: dict[str, str], when: Any) -> None:
    """Start a command and kill it with signal 9 as soon as ``when()`` holds."""
    running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 240
    while not when():
        assert running.poll() is None, running.stderr and running.stderr.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()


def test_eight_published_models_fight_killed_and_resumed_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    published = Published()
    lines = [
        {
            "id": i,
            "license": "CC-BY-NC-4.0",
            "category": "writing",
            "language": "en",
            "conversation": [{"role": "user", "content": text}],
        }
        for i, text in published.instructions
    ]
    (tmp_path / "alpaca_eval.jsonl").write_text("\n".join(map(json.dumps, lines)))
    contestants = [
        {"name": name, "backend": "recorded", "checkpoint": str(tmp_path / f"{name}.jsonl")}
        for name in (BASELINE, *MODELS)
    ]
    with serve(lambda body, number: chat(published.judge(body))) as stub:
        flags: dict[str, Any] = {
            "root": str(tmp_path / "lake"),
            "sources": [{"name": "alpaca_eval", "path": str(tmp_path / "alpaca_eval.jsonl")}],
            "target": contestants[0],
            "rivals": contestants[1:],
            "judge": {
                "name": "published",
                "backend": "openai",
                "checkpoint": JUDGE,
                "base_urls": [stub.url],
                "max_new_tokens": 64,
            },
            "battles": {"slice_size": len(lines), "pairing": "target"},
            "engine": {"batch_size": 200, "flush_s": 0},
            "quality": {"max_error_rate": 0.02},
        }
        file = tmp_path / "arena.yaml"
        file.write_text(json.dumps(flags))
        config = configuration.load(file)
        lake = Lake.open(config)
        for step in ("land", "prepare"):
            do(config, lake, step, "alpaca_eval")
        with lake.connect(["instructions"]) as connection:
            ids = dict(connection.sql("select source_id, instruction_id from instructions").fetchall())
            published.which = {
                head(text): source_id
                for source_id, text in connection.sql(
                    "select source_id, conversation[1].content from instructions"
                ).fetchall()
            }
        for name in (BASELINE, *MODELS):
            rows = [
                json.dumps({"instruction_id": ids[i], "turn": 1, "text": output})
                for model, i, output in published.outputs
                if model == name and i in ids
            ]
            (tmp_path / f"{name}.jsonl").write_text("\n".join(rows))

        environment = {k: v for k, v in os.environ.items() if not k.startswith("ARENA_")}
        environment["ARENA_CONFIG"] = str(file)
        verb = [sys.executable, "-m", "arena_etl"]
        arguments = ["--round", ROUND, "--stage", "sft"]

        killed([*verb, "battle", *arguments], environment, lambda: staged(lake, "responses", ROUND).num_rows > 1_000)
        subprocess.run([*verb, "battle", *arguments], env=environment, check=True, capture_output=True)
        with lake.connect(["responses"]) as connection:
            answers = connection.sql(
                "select count(*), count(distinct (instruction_id, contestant_id)) from responses"
            ).fetchall()
        assert answers == [(8 * len(ids), 8 * len(ids))]

        killed([*verb, "judge", *arguments], environment, lambda: staged(lake, "verdicts", ROUND).num_rows > 3_000)
        kept = {
            (row["instruction_id"], row["model_a"], row["model_b"], row["shown_first"])
            for row in staged(lake, "verdicts", ROUND).to_pylist()
            if row["attempts"]
        }
        before = len(stub.calls)
        subprocess.run([*verb, "judge", *arguments], env=environment, check=True, capture_output=True)

        with lake.connect(["verdicts", "battles"]) as connection:
            [(games, distinct, asked)] = connection.sql(
                """
                select count(*), count(distinct (instruction_id, model_a, model_b, shown_first)), count_if(attempts > 0)
                from verdicts
                """
            ).fetchall()
            rates = dict(
                connection.sql(
                    f"""
                    select
                        regexp_replace(if(model_a like '{BASELINE}-%', model_b, model_a), '-[0-9a-f]+$', '') as model,
                        avg((if(model_a like '{BASELINE}-%', mean_b, mean_a) - 1) / 9) as rate
                    from battles where winner <> 'unusable' and mean_a is not null group by 1
                    """
                ).fetchall()
            )
    # Every game once; what was stored before the kill was never asked again.
    assert stub.errors == []
    assert games == distinct == 2 * len(MODELS) * len(ids)
    assert len(stub.calls) - before == asked - len(kept)
    # The battles say what the verdicts said.
    for model in MODELS:
        scores = [s for (name, i), s in published.verdicts.items() if name == model and i in ids and s is not None]
        assert rates[model] == pytest.approx(sum(scores) / len(scores), abs=2e-3)
