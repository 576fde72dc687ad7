"""Landing and preparing instructions: nothing twice, nothing lost, bad lines held with their reason."""

import json
from pathlib import Path
from typing import Any

import pytest

from arena_etl import config as configuration
from arena_etl.config import Config
from arena_etl.errors import GateStopped, InputError
from arena_etl.flywheel import do
from arena_etl.lake.delta import Lake
from arena_etl.operations.ingestion import funnel, with_sources


def line(text: str, **changes: Any) -> dict[str, Any]:
    return {
        "conversation": [{"role": "user", "content": text}],
        "category": "math",
        "reference": ["4"],
        "checker": [{"type": "number", "value": 4}],
        "license": "CC0-1.0",
    } | changes


def setup(tmp_path: Path, lines: list[str], **quality: float) -> tuple[Config, Lake]:
    file = tmp_path / "source.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    flags: dict[str, Any] = {
        "root": str(tmp_path / "lake"),
        "sources": [{"name": "mine", "path": str(file), "license": "CC-BY-4.0"}],
        "quality": quality,
    }
    config = configuration.load(flags=flags)
    return config, Lake.open(config)


def ingest(config: Config, lake: Lake) -> list[dict[str, Any]]:
    return [do(config, lake, name, "mine") for name in ("land", "prepare")]


def rows(lake: Lake, text: str) -> list[Any]:
    with lake.connect() as connection:
        return connection.sql(text).fetchall()


def test_landing_the_same_file_again_adds_nothing(tmp_path: Path) -> None:
    config, lake = setup(tmp_path, [json.dumps(line("What is 2 + 2?")), json.dumps(line("What is 1 + 3?"))])
    ingest(config, lake)
    heads = lake.heads()
    assert [summary.get("unchanged") for summary in ingest(config, lake)] == [True, True]
    assert lake.heads() == heads
    assert rows(lake, "select count(*) from instructions") == [(2,)]


def test_new_lines_are_added_and_old_ones_stay(tmp_path: Path) -> None:
    first = json.dumps(line("What is 2 + 2?", id="a"))
    config, lake = setup(tmp_path, [first])
    ingest(config, lake)
    config, lake = setup(tmp_path, [json.dumps(line("What is 1 + 3?", id="b")), first])
    ingest(config, lake)
    assert rows(lake, "select source_id from raw_instructions order by 1") == [("a",), ("b",)]
    assert rows(lake, "select count(*) from instructions") == [(2,)]


def test_one_row_per_distinct_conversation(tmp_path: Path) -> None:
    same = [json.dumps(line("What is 2 + 2?", id=name)) for name in ("a", "b")]
    config, lake = setup(tmp_path, same)
    *_, prepared = ingest(config, lake)
    assert prepared["exact_duplicate"] == 1
    assert rows(lake, "select source_id, license from instructions") == [("a", "CC0-1.0")]


def test_the_source_s_licence_fills_in_and_the_contents_name_the_row(tmp_path: Path) -> None:
    config, lake = setup(tmp_path, [json.dumps(line("What is 2 + 2?", license=None))])
    ingest(config, lake)
    assert rows(lake, "select license, source_id = sha256(raw) from raw_instructions") == [("CC-BY-4.0", True)]


def test_a_line_inserted_at_the_top_is_the_only_new_one(tmp_path: Path) -> None:
    old = [json.dumps(line(f"What is {n} + 1?")) for n in range(5)]
    ingest(*setup(tmp_path, old))
    config, lake = setup(tmp_path, [json.dumps(line("What is 99 + 1?")), *old])
    landed, prepared = ingest(config, lake)
    assert (landed["new"], landed["known"], prepared["examined"]) == (1, 5, 1)
    assert rows(lake, "select count(*) from instructions") == [(6,)]


def test_other_contents_under_a_known_id_are_held(tmp_path: Path) -> None:
    lines = [json.dumps(line(f"What is {n} + 1?", id=n)) for n in range(20)]
    ingest(*setup(tmp_path, lines))
    more = [json.dumps(line(f"What is {n} + 2?", id=n)) for n in range(20, 40)]
    config, lake = setup(tmp_path, [json.dumps(line("What is 7 + 7?", id=3)), *lines, *more])
    ingest(config, lake)
    assert rows(lake, "select count(*) from instructions") == [(40,)]
    assert "id 3 was landed before with other contents" in rows(lake, "select reason from quarantine")[0][0]


def test_old_bad_lines_do_not_block_a_small_increment(tmp_path: Path) -> None:
    lines = [json.dumps(line(f"What is {n} + 1?")) for n in range(40)] + ["{broken", "{broken too"]
    ingest(*setup(tmp_path, lines))
    config, lake = setup(tmp_path, [*lines, json.dumps(line("What is 99 + 1?"))])
    ingest(config, lake)
    assert rows(lake, "select count(*) from instructions") == [(41,)]
    assert rows(lake, "select count(*), count(distinct key) from quarantine") == [(2, 2)]


def test_a_test_set_never_becomes_training_data(tmp_path: Path) -> None:
    config, lake = setup(tmp_path, [json.dumps(line("What is 2 + 2?"))])
    ingest(config, lake)
    other = config.model_copy(update={"sources": (config.sources[0].model_copy(update={"split": "wizard_hard"}),)})
    with pytest.raises(InputError, match="in the lake as train, now wizard_hard"):
        ingest(other, lake)


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    config, lake = setup(tmp_path, ["\ufeff" + json.dumps(line("What is 2 + 2?"))])
    assert ingest(config, lake)[0]["new"] == 1


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("{not json", "Invalid JSON"),
        (json.dumps(line("x", category="cooking")), "category"),
        (json.dumps(line("x", conversation=[])), "conversation"),
        (json.dumps(line(" ")), "conversation.0.content"),
        (json.dumps(line("x", conversation=[{"role": "assistant", "content": "x"}])), "role"),
        (json.dumps(line("x", reference=["4", "5"])), "reference has 2 entries for 1 turns"),
        (json.dumps(line("x", colour="red")), "colour"),
        (json.dumps(line("x", checker=[{"type": "magic"}])), "magic"),
    ],
)
def test_a_bad_line_is_held_with_file_line_and_reason(tmp_path: Path, bad: str, reason: str) -> None:
    good = [json.dumps(line(f"What is {n} - {n - 4}?")) for n in range(20)]
    config, lake = setup(tmp_path, [*good[:10], bad, *good[10:]])
    landed, prepared = ingest(config, lake)
    assert landed["new"] + landed["rejected"] == 21
    assert prepared["new"] == 20
    [(row, why, state)] = rows(lake, "select row, reason, state from quarantine")
    assert (row, state) == (bad, "held")
    assert why.startswith("source.jsonl, line 11: ")
    assert reason in why


def test_too_many_bad_lines_stop_the_source(tmp_path: Path) -> None:
    config, lake = setup(tmp_path, [json.dumps(line("What is 2 + 2?")), "{broken", "{broken too"])
    with pytest.raises(GateStopped, match='"refused": 2, "of": 3'):
        ingest(config, lake)
    assert rows(lake, "select count(*) from raw_instructions") == [(0,)]
    assert rows(lake, "select count(*) from quarantine") == [(2,)]


def test_a_source_without_a_licence_is_refused(tmp_path: Path) -> None:
    lines = [json.dumps(line(f"What is {n} + 1?", license="" if n == 3 else "CC0-1.0")) for n in range(20)]
    config, lake = setup(tmp_path, lines)
    config = config.model_copy(update={"sources": (config.sources[0].model_copy(update={"license": ""}),)})
    with pytest.raises(InputError, match=r"source mine: source\.jsonl, line 4 has no licence.*`license` of the source"):
        ingest(config, lake)
    assert rows(lake, "select count(*) from raw_instructions") == [(0,)]


def test_refused_rows_are_looked_at_again_only_under_other_rules(tmp_path: Path) -> None:
    lines = [json.dumps(line(f"What is {n} + 1 in words?")) for n in range(20)] + [json.dumps(line("2 + 2?"))]
    config, lake = setup(tmp_path, lines)
    assert ingest(config, lake)[1]["length"] == 1
    config, lake = setup(tmp_path, [*lines, json.dumps(line("What is 99 + 1 in words?"))])
    assert ingest(config, lake)[1]["examined"] == 1
    shorter = config.model_copy(update={"cleaning": config.cleaning.model_copy(update={"min_characters": 5})})
    prepared = ingest(shorter, lake)[1]
    assert (prepared["examined"], prepared["new"]) == (1, 1)
    assert rows(lake, "select count(*) from instructions") == [(22,)]


def test_a_stopped_batch_is_counted_again(tmp_path: Path) -> None:
    config, lake = setup(tmp_path, [json.dumps(line("What is 2 + 2?")), "{broken", "{broken too"])
    for _ in range(2):
        with pytest.raises(GateStopped, match='"refused": 2, "of": 3'):
            ingest(config, lake)


def test_what_filters_take_out_does_not_stop_a_batch(tmp_path: Path) -> None:
    lines = [json.dumps(line(f"{n} + 1?")) for n in range(20)] + [json.dumps(line("What is 2 + 2 in words?"))]
    config, lake = setup(tmp_path, lines)
    assert ingest(config, lake)[1]["length"] == 20
    assert rows(lake, "select distinct state, expectation from quarantine") == [("removed", "length")]
    assert {row["step"]: row["rows"] for row in funnel(lake, ["mine"])} == {"in": 21, "length": 20, "out": 1}


def test_a_changed_file_adds_its_new_rows_and_a_renamed_one_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.jsonl").write_text(json.dumps({"prompt": "Name three rivers of Spain."}))
    flags = {"root": str(tmp_path / "lake"), "sources": [{"name": "mine", "path": str(folder), "license": "MIT"}]}
    config = configuration.load(flags=flags)
    lake = Lake.open(config)
    ingest(config, lake)
    (folder / "a.jsonl").rename(folder / "z.jsonl")
    (folder / "b.jsonl").write_text(json.dumps({"prompt": "Why is the sky blue at noon?"}))
    landed, prepared = ingest(config, lake)
    assert (landed["files"], landed["files_known"], landed["new"], prepared["new"]) == (2, 1, 1, 1)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    config, lake = setup(tmp_path, [])
    (tmp_path / "source.jsonl").unlink()
    with pytest.raises(InputError, match=r"source mine: .*source\.jsonl cannot be read"):
        ingest(config, lake)


def test_places_become_sources_of_one_run() -> None:
    config = configuration.load(flags={"sources": [{"name": "mine", "path": "a.jsonl"}]})
    chosen = with_sources(
        config, ["mine", "s3://bucket/logs/2026-*.jsonl.gz", "data/pool/"], "MIT", "benchmark"
    ).sources
    assert [(s.name, s.path, s.license, s.split) for s in chosen] == [
        ("mine", "a.jsonl", "", "train"),
        ("2026", "s3://bucket/logs/2026-*.jsonl.gz", "MIT", "benchmark"),
        ("pool", "data/pool/", "MIT", "benchmark"),
    ]
    with pytest.raises(
        InputError, match="'yours': not in the configuration, which names \\['mine'\\], and no path either"
    ):
        with_sources(config, ["yours"], "", "train")
    with pytest.raises(InputError, match="a source is called mine already"):
        with_sources(config, ["b/mine.jsonl"], "", "train")
