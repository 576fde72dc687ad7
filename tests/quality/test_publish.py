"""Between a step and its readers: what a gate stops, what a person lets through, and the way back out of quarantine."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from arena_etl import cli
from arena_etl import config as configuration
from arena_etl.config import Config
from arena_etl.errors import GateStopped, InputError
from arena_etl.flywheel import do
from arena_etl.lake import quarantine
from arena_etl.lake.delta import Lake
from arena_etl.lake.releases import release, releases
from arena_etl.lake.staging import Staging
from arena_etl.quality.decisions import Acceptance
from arena_etl.quality.publish import publish
from arena_etl.steps import Step, is_done, perform
from tests.quality import rows as make

KEYS = ("2026-01-01", "sft", "training")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return configuration.load(flags={"root": str(tmp_path / "lake")})


def step(name: str, batch: pa.Table, inputs: Any = None) -> Step:
    """A step that stages these rows; recorded ones, so that no roster is asked for."""

    def work(config: Config, lake: Lake, staging: Staging, *keys: str, unit: str) -> dict[str, Any]:
        staging.write(unit, "rows", batch)
        return {"asked": batch.num_rows}

    return Step("import", name, lambda config, lake, *keys: inputs, work)


def put(config: Config, name: str, batch: pa.Table, *keys: str, inputs: Any = None, accept: Any = None) -> Any:
    lake = Lake.open(config)
    made = step(name, batch, inputs)
    return perform(made, config, lake, *keys) | publish(made, config, lake, *keys, acceptance=accept)


def rows(config: Config, text: str) -> list[Any]:
    with Lake.open(config).connect() as connection:
        return connection.sql(text).fetchall()


def tolerant(config: Config, share: float = 0.5) -> Config:
    """Few rows make large shares."""
    return config.model_copy(update={"quality": config.quality.model_copy(update={"max_quarantine_share": share})})


UNREADABLE = {i: {"parse_status": "cut", "score_a": None, "score_b": None} for i in range(6)}


def test_an_acceptance_overrides_one_gate_once_and_is_on_record(config: Config) -> None:
    bad = make.batch("verdicts", UNREADABLE)
    with pytest.raises(GateStopped, match=r"--accept verdicts --reason"):
        put(config, "verdicts", bad, *KEYS)
    word = Acceptance("verdicts", "the judge was being repaired", "ada")
    assert put(config, "verdicts", bad, *KEYS, accept=word)["rows"] == 6
    [(kind, table, author, reason, audit)] = rows(
        config, 'select kind, "table", author, reason, audit_id from decisions'
    )
    assert (kind, table, author, reason) == ("accept", "verdicts", "ada", "the judge was being repaired")
    overridden = "select distinct expectation from quality_results where decision_id is not null and audit_id = '{}'"
    assert rows(config, overridden.format(audit)) == [("expect_column_values_to_be_in_set(parse_status)/parse-rate",)]
    with pytest.raises(GateStopped):  # the same word is not good for a second batch
        put(config, "verdicts", bad.set_column(1, "stage", pa.array(["dpo"] * 6)), KEYS[0], "dpo", KEYS[2], accept=word)


def test_an_acceptance_of_another_table_is_left_alone(config: Config) -> None:
    word = Acceptance("battles", "why not", "ada")
    with pytest.raises(GateStopped):
        put(config, "verdicts", make.batch("verdicts", UNREADABLE), *KEYS, accept=word)
    assert word.decision_id is None and rows(config, "select count(*) from decisions") == [(0,)]


def test_rows_of_another_partition_have_no_place_whoever_accepts_them(config: Config) -> None:
    strayed = make.batch("verdicts", {0: {"round": "2026-01-02"}})
    with pytest.raises(GateStopped, match="partition failed") as stopped:
        put(config, "verdicts", strayed, *KEYS, accept=Acceptance("verdicts", "why not", "ada"))
    assert "--accept" not in str(stopped.value)
    assert rows(config, "select count(*) from verdicts") == [(0,)]


@pytest.mark.parametrize(("table", "reason"), [("verdict", "x"), ("verdicts", " ")])
def test_an_acceptance_names_a_table_and_a_reason(table: str, reason: str) -> None:
    with pytest.raises(InputError):
        Acceptance(table, reason, "ada")


def test_a_stopped_batch_leaves_the_release_as_it_was(config: Config) -> None:
    lake = Lake.open(config)
    put(config, "verdicts", make.batch("verdicts"), *KEYS)
    before = release(lake, config, KEYS[0], "test", "first")
    with pytest.raises(GateStopped):
        put(config, "verdicts", make.batch("verdicts", UNREADABLE), *KEYS, inputs="changed")
    assert releases(lake) == [before]
    assert lake.heads()["verdicts"] == before.versions["verdicts"]


def test_results_say_which_rows_broke_what_and_where_to_read_on(config: Config) -> None:
    put(tolerant(config), "verdicts", make.batch("verdicts", {0: {"score_a": 11.0}}), *KEYS)
    [(batch, samples, runbook, suite)] = rows(
        config,
        "select batch, samples, runbook, suite_hash from quality_results where expectation like '%between(score_a)'",
    )
    assert batch == "verdicts/2026-01-01/sft/training"
    [key] = json.loads(samples)
    assert key["instruction_id"] == make.identity(1) and key["shown_first"] == "model_a"
    assert runbook == "docs/runbook.md#quarantine" and len(suite) == 64


def test_gx_page_lies_beside_the_report_of_the_round(config: Config) -> None:
    put(config, "verdicts", make.batch("verdicts"), *KEYS)
    page = Path(config.root) / "reports" / KEYS[0] / "quality" / "verdicts-sft-training.html"
    assert "score_a" in page.read_text(encoding="utf-8")


def test_gx_page_loads_nothing_and_runs_nothing_that_a_contestant_wrote(config: Config) -> None:
    with pytest.raises(GateStopped):
        put(config, "verdicts", make.batch("verdicts", {0: {"parse_status": "<script>alert(1)</script>"}}), *KEYS)
    file = Path(config.root) / "reports" / KEYS[0] / "quality" / "verdicts-sft-training.html"
    page = file.read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)" in page
    assert not re.search(r"<script|<link|<img|src=|href=.?http", page)
    assert "Content-Security-Policy" in page


def test_gx_page_shows_the_shares_that_were_observed(config: Config) -> None:
    """GX computes them with numpy and renders Python's numbers only."""
    put(config, "responses", make.batch("responses"), *KEYS)
    page = Path(config.root) / "reports" / KEYS[0] / "quality" / "responses-sft-training.html"
    shown = " ".join(re.sub(r"<[^>]*>", " ", page.read_text(encoding="utf-8")).split())
    assert "proportion of non-null values must be less than or equal to 0.02 . 0 " in shown


def test_a_released_row_enters_on_the_next_run_and_stays(config: Config) -> None:
    lake = Lake.open(config)
    batch = make.batch("verdicts", {0: {"score_a": 11.0}, 1: {"score_b": 0.0}})
    open_share = tolerant(config)
    assert put(open_share, "verdicts", batch, *KEYS)["held"] == 2
    held = quarantine.rows(lake, "verdicts")
    [row] = [row for row in held if "(score_a)" in row["expectation"]]
    assert quarantine.release(lake, [row], "ada", "a scale of 20") == 1
    assert not is_done(step("verdicts", batch), open_share, lake, *KEYS)

    assert put(open_share, "verdicts", batch, *KEYS)["rows"] == 5
    assert rows(config, "select score_a from verdicts where score_a > 10") == [(11.0,)]
    assert put(open_share, "verdicts", batch, *KEYS).get("unchanged")
    [again] = quarantine.rows(lake, "verdicts", state="released")
    assert again["row_id"] == row["row_id"] and again["decided"] == "released by ada: a scale of 20"
    assert [left["expectation"] for left in quarantine.rows(lake, "verdicts")] == [
        "expect_column_values_to_be_between(score_b)"
    ]


def test_a_released_row_enters_although_its_step_does_not_make_it_again(config: Config) -> None:
    lake = Lake.open(config)
    put(tolerant(config), "verdicts", make.batch("verdicts", {0: {"score_a": 11.0}}), *KEYS)
    quarantine.release(lake, quarantine.rows(lake), "ada", "fine")
    assert put(config, "verdicts", make.batch("verdicts").slice(1), *KEYS)["rows"] == 6


def test_a_batch_with_too_many_held_rows_stops(config: Config) -> None:
    bad = make.batch("verdicts", {0: {"score_a": 11.0}})  # one of six
    with pytest.raises(GateStopped, match="quarantine_share"):
        put(tolerant(config, 0.1), "verdicts", bad, *KEYS)
    assert len(quarantine.rows(Lake.open(config))) == 1


@pytest.fixture
def ingested(tmp_path: Path) -> Config:
    """A source of which one line has no licence and one cannot be read."""
    good = [
        {
            "id": str(n),
            "conversation": [{"role": "user", "content": f"What is {n}?"}],
            "category": "math",
            "license": "CC0-1.0",
        }
        for n in range(20)
    ]
    lines = [*good, {**good[0], "id": "bare", "conversation": [{"role": "user", "content": "Why?"}], "license": "\t"}]
    file = tmp_path / "s.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines) + "{oops\n")
    config = configuration.load(flags={"root": str(tmp_path / "lake"), "sources": [{"name": "s", "path": str(file)}]})
    do(config, Lake.open(config), "land", "s")
    return config


def arena(config: Config, *arguments: str) -> Any:
    sources = json.dumps([source.model_dump() for source in config.sources])
    return CliRunner().invoke(cli.app, ["--root", config.root, "--set", f"sources={sources}", *arguments])


def test_quarantine_verbs_list_show_and_release(ingested: Config) -> None:
    listed = json.loads(arena(ingested, "quarantine", "list", "--json").stdout)
    by_reason = {row["expectation"].split("(")[0]: row for row in listed}
    bare, unreadable = by_reason["expect_column_values_to_match_regex"], by_reason["readable_row"]

    shown = arena(ingested, "quarantine", "show", bare["row_id"])
    assert "no licence" in shown.stdout and "Why?" in shown.stdout
    refused = arena(ingested, "quarantine", "release", unreadable["row_id"], "--reason", "x")
    assert isinstance(refused.exception, InputError) and "is no row of raw_instructions" in str(refused.exception)
    assert isinstance(arena(ingested, "quarantine", "show", "nothing").exception, InputError)
    assert isinstance(arena(ingested, "quarantine", "release", "--reason", "x").exception, InputError)
    assert isinstance(arena(ingested, "quarantine", "release", bare["row_id"], "--reason", " ").exception, InputError)

    done = arena(ingested, "quarantine", "release", bare["row_id"], "--reason", "the author gave it to us")
    assert done.exit_code == 0 and "arena-etl ingest" in done.stdout
    assert rows(ingested, "select count(*) from raw_instructions where source_id = 'bare'") == [(0,)]
    do(ingested, Lake.open(ingested), "land", "s")
    assert rows(ingested, "select count(*) from raw_instructions where source_id = 'bare'") == [(1,)]


def test_of_two_audits_of_one_batch_the_second_changes_nothing(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed scheduler's audit may still be at work when its successor begins."""
    made = step("verdicts", make.batch("verdicts"))
    perform(made, config, Lake.open(config), *KEYS)
    read = Staging.read

    def overtaken(staging: Staging, units: Any = None) -> pa.Table:
        monkeypatch.setattr(Staging, "read", read)
        assert publish(made, config, Lake.open(config), *KEYS)["rows"]
        return staging.read(units)

    monkeypatch.setattr(Staging, "read", overtaken)
    assert publish(made, config, Lake.open(config), *KEYS) == {"table": "verdicts", "unchanged": True}
    assert rows(config, "select count(distinct audit_id) from quality_results") == [(1,)]
