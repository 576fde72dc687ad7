"""Files of every kind, landed and prepared: nothing lost, bad rows held with file and line, bad files refused by name."""

import bz2
import gzip
import json
import random
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arena_etl import config as configuration
from arena_etl.config import Config
from arena_etl.errors import InputError
from arena_etl.instructions import landing, preparation, readers
from arena_etl.lake.delta import Lake
from arena_etl.lake.staging import Staging
from arena_etl.steps import Step, perform

LAND = Step("land", "raw_instructions", landing.inputs, landing.land)
TEXTS = [
    "Name three rivers of Spain.",
    "Why is the sky blue at noon?",
    "Write a poem about the sea.",
    "Fix my code please.",
]
ROWS = [{"id": n, "instruction": text} for n, text in enumerate(TEXTS)]


def opened(path: Path | str, lake: Path, **source: Any) -> tuple[Config, Lake]:
    mine = {"name": "mine", "path": str(path), "license": "MIT"} | source
    config = configuration.load(flags={"root": str(lake), "sources": [mine]})
    return config, Lake.open(config)


def staging_of(step: Step, config: Config, lake: Lake) -> Staging:
    return step.staging(config, lake, "mine")


def land(path: Path | str, lake: Path, **source: Any) -> tuple[dict[str, Any], list[Any], list[str]]:
    """The summary, the texts of the staged rows and the reasons of the rejected ones, before any audit."""
    config, opened_lake = opened(path, lake, **source)
    summary = perform(LAND, config, opened_lake, "mine")
    staging = staging_of(LAND, config, opened_lake)
    rows = staging.read().to_pylist()
    return summary, rows, staging.rejects()["reason"].to_pylist()


def jsonl(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write(folder: Path, name: str) -> Path:
    """The same four rows in a file of the form that its name says."""
    file, frame = folder / name, pl.DataFrame(ROWS)
    match name.partition(".")[2]:
        case "jsonl":
            file.write_text(jsonl(ROWS))
        case "jsonl.gz":
            file.write_bytes(gzip.compress(jsonl(ROWS).encode()))
        case "jsonl.bz2":
            file.write_bytes(bz2.compress(jsonl(ROWS).encode()))
        case "json":
            file.write_text(json.dumps(ROWS, indent=1))
        case "csv":
            frame.write_csv(file)
        case "csv.gz":
            file.write_bytes(gzip.compress(frame.write_csv().encode()))
        case "tsv":
            frame.write_csv(file, separator="\t")
        case "parquet":
            frame.write_parquet(file)
        case "arrow":
            with pa.ipc.new_stream(str(file), frame.to_arrow().schema) as stream:
                stream.write_table(frame.to_arrow())
    return file


KINDS = ["jsonl", "jsonl.gz", "jsonl.bz2", "json", "csv", "csv.gz", "tsv", "parquet", "arrow"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, kind: str) -> None:
    summary, rows, reasons = land(write(tmp_path, f"rows.{kind}"), tmp_path / "lake")
    assert (summary["lines"], summary["new"], reasons) == (4, 4, [])
    assert {row["source_id"]: json.loads(row["raw"])["instruction"] for row in rows} == {
        str(n): text for n, text in enumerate(TEXTS)
    }
    assert {(row["file"], row["license"]) for row in rows} == {(f"rows.{kind}", "MIT")}


def test_folders_and_globs(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(9):
        (folder / f"{number}.jsonl").write_text(jsonl([{"prompt": f"What is {number} + {number}, in words?"}]))
    (folder / "README.md").write_text("no data")
    (folder / ".hidden.jsonl").write_text("{broken")
    assert land(folder, tmp_path / "a")[0]["files"] == 9
    assert land(folder / "[0-3].jsonl", tmp_path / "b")[0]["new"] == 4


def test_columns_name_id_and_licence(tmp_path: Path) -> None:
    file = tmp_path / "logs.jsonl"
    file.write_text(
        jsonl([{"meta": {"uid": "x"}, "terms": "CC0-1.0", "prompt": "Hello there"}, {"id": "y", "prompt": "Hi"}])
    )
    _, rows, _ = land(file, tmp_path / "lake", columns={"id": "meta.uid", "license": "terms"})
    assert (rows[0]["source_id"], rows[0]["license"]) == ("x", "CC0-1.0")
    assert rows[1]["source_id"] != "y"
    _, rows, _ = land(file, tmp_path / "other", columns={"id": None})
    assert all(len(row["source_id"]) == 64 for row in rows)


def test_every_bad_line_is_held_with_its_number_and_nothing_else_is_lost(tmp_path: Path) -> None:
    good = [json.dumps({"prompt": f"Question number {n}, please answer it."}).encode() for n in range(6)]
    lines = [
        good[0],
        b"{broken",
        good[1],
        b'{"prompt": "caf\xe9"}',
        good[2],
        b"",
        b"[1, 2]",
        good[3],
        b'{"prompt": "\x00"}',
        good[4],
    ]
    file = tmp_path / "mixed.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(lines) + b"\n" + good[5])
    summary, rows, reasons = land(file, tmp_path / "lake")
    assert (summary["lines"], summary["new"], summary["rejected"]) == (10, 6, 4)
    assert [row["raw"].encode() for row in rows] == good
    assert [row["line"] for row in rows] == [1, 3, 5, 8, 10, 11]
    starts = (
        "line 2: Invalid JSON",
        "line 4: not UTF-8",
        "line 7: a row is a JSON object, not list",
        "line 9: Invalid JSON",
    )
    for start in starts:
        assert any(reason.startswith(f"mixed.jsonl, {start}") for reason in reasons), (start, reasons)


def test_long_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "BLOCK", 1000)
    monkeypatch.setattr(readers, "MOST_BYTES", 5000)
    monkeypatch.setattr(readers, "SHOWN_BYTES", 100)
    rows = [{"prompt": str(size)[0] * size} for size in (10, 4000, 6000, 10, 20_000, 10, 999)]
    file = tmp_path / "long.jsonl"
    file.write_text(jsonl(rows))
    summary, landed, reasons = land(file, tmp_path / "lake")
    assert (summary["lines"], len(landed)) == (7, 3)
    assert summary["known"] == 2  # the short ones are one row
    assert sorted(reason.split(":")[0] for reason in reasons) == ["long.jsonl, line 3", "long.jsonl, line 5"]


def test_a_50_mb_line_is_one_row(tmp_path: Path) -> None:
    file = tmp_path / "huge.jsonl"
    with file.open("w") as out:
        out.write(jsonl(ROWS[:1]))
        out.write('{"id": "huge", "prompt": "' + "word " * 10_000_000 + '"}\n')
        out.write(jsonl(ROWS[1:]))
    summary, rows, reasons = land(file, tmp_path / "lake")
    assert (summary["new"], reasons) == (5, [])
    assert max(len(row["raw"]) for row in rows) > 50_000_000


def test_broken_csv_rows(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(
        b'instruction,output\n"Say ""hi"",\nplease do",x\none,two,three\nWhy is it so?,y\nonly\nna\xefve,z\n"never closed\n'
    )
    summary, rows, reasons = land(file, tmp_path / "lake")
    assert [json.loads(row["raw"])["instruction"] for row in rows] == ['Say "hi",\nplease do', "Why is it so?"]
    assert summary["rejected"] == 4
    assert [reason.partition(": ")[2] for reason in reasons] == [
        "3 values for 2 columns",
        "1 values for 2 columns",
        "not UTF-8",
        "unexpected end of data",
    ]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("cut.parquet", None, r"source mine: cut\.parquet cannot be read: after row 0: "),
        (
            "cut.jsonl.gz",
            gzip.compress(b'{"a": 1}\n' * 1000, mtime=0)[:-20],
            r"source mine: cut\.jsonl\.gz cannot be read: ",
        ),
        ("x.json", b'[{"instruction": "a"}, {"instr', r"x\.json cannot be read: after row \d+: "),
        ("x.csv", b"a,a\n1,2\n", r"x\.csv cannot be read: line 1: the first line must name the columns, each once"),
        ("x.jsonl", "{}".encode("utf-16"), r"x\.jsonl cannot be read: it is UTF-16: write it as UTF-8"),
        ("x.docx", b"PK", r"x\.docx: unknown format\. Known endings: \.jsonl"),
    ],
)
def test_a_file_that_is_damaged_as_a_whole_is_refused_by_name(
    tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    file = tmp_path / name
    if content is None:
        pl.DataFrame({"instruction": ["x" * 100] * 1000}).write_parquet(file)
        content = file.read_bytes()[:-100]
    file.write_bytes(content)
    with pytest.raises(InputError, match=reason):
        land(file, tmp_path / "lake")


def test_an_empty_folder_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no file of a known format"):
        land(tmp_path / "*.jsonl", tmp_path / "lake")
    with pytest.raises(InputError, match=r"source mine: .*absent\.jsonl cannot be read"):
        land(tmp_path / "absent.jsonl", tmp_path / "lake")


def test_wrong_types_are_held_by_prepare_with_file_and_line(tmp_path: Path) -> None:
    rows = [*({"instruction": text} for text in TEXTS), {"instruction": 5}, {"instruction": None, "text": "x"}]
    kept, rejected = cleaned(tmp_path, rows)
    assert kept == sorted(TEXTS)
    assert [(name, reason.split(", ")[1]) for name, reason in rejected] == [
        ("readable_row", "line 5: instruction: text is expected"),
        ("readable_row", "line 6: none of the columns messages"),
    ]


def cleaned(folder: Path, rows: list[Any]) -> tuple[list[str], list[tuple[str, str]]]:
    """The kept texts, and filter and reason of the rejected rows, of a lake that was empty."""
    folder.mkdir(exist_ok=True)
    file = folder / "rows.jsonl"
    file.write_text(jsonl(rows))
    config, lake = opened(file, folder / "lake")
    perform(LAND, config, lake, "mine")
    landed = staging_of(LAND, config, lake)
    lake.commit(landed.partition, landed.read(), landed.fingerprint, {})
    prepare = Step("prepare", "instructions", preparation.inputs, preparation.prepare)
    perform(prepare, config, lake, "mine")
    staging = staging_of(prepare, config, lake)
    rejects = staging.rejects()
    return (
        sorted(row["conversation"][0]["content"] for row in staging.read().to_pylist()),
        sorted(zip(rejects["expectation"].to_pylist(), rejects["reason"].to_pylist(), strict=True)),
    )


def test_workers_keep_and_reject_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"prompt": f"Say in words what {n} + {n} is."} for n in range(10)] + [{"prompt": "short"}, {"text": "x"}]
    alone = cleaned(tmp_path / "a", rows)
    monkeypatch.setattr(preparation, "WORTH_A_WORKER", 4)
    monkeypatch.setattr(preparation, "BATCH", 3)
    assert cleaned(tmp_path / "b", rows) == alone


WORDS = st.sampled_from(
    ["Name", "three", "rivers", "of", "Spain", "and", "say", "why", "they", "matter", "most", "to", "me"]
)
SENTENCES = st.lists(WORDS, min_size=1, max_size=14).map(" ".join)
RECORDS = st.lists(
    st.builds(
        lambda text, id_: {"prompt": text} | ({"id": id_} if id_ else {}), SENTENCES, st.sampled_from([None, "a", "b"])
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=RECORDS, seed=st.integers(0, 1000))
def test_the_order_of_the_rows_changes_nothing_that_is_kept(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]], seed: int
) -> None:
    shuffled = records.copy()
    random.Random(seed).shuffle(shuffled)
    first, second = (cleaned(tmp_path_factory.mktemp("order"), rows)[0] for rows in (records, shuffled))
    assert first == second


def test_files_on_s3(s3_settings: dict[str, Any], tmp_path: Path) -> None:
    import s3fs

    bucket = s3_settings["root"].removesuffix("/arena")
    filesystem = s3fs.S3FileSystem(endpoint_url=s3_settings["s3_endpoint"], use_listings_cache=False)
    filesystem.put_file(str(write(tmp_path, "rows.jsonl.gz")), f"{bucket}/given/j/rows.jsonl.gz")
    filesystem.pipe_file(f"{bucket}/given/README.md", b"no data")
    mine = {"name": "mine", "path": f"{bucket}/given", "license": "MIT"}
    config = configuration.load(flags=s3_settings | {"sources": [mine]})
    lake = Lake.open(config)
    before = landing.inputs(config, lake, "mine")
    assert perform(LAND, config, lake, "mine")["new"] == 4
    assert staging_of(LAND, config, lake).read()["file"].unique().to_pylist() == ["rows.jsonl.gz"]
    filesystem.pipe_file(f"{bucket}/given/j/rows.jsonl.gz", gzip.compress(jsonl(ROWS[:1]).encode()))
    assert landing.inputs(config, lake, "mine") != before
