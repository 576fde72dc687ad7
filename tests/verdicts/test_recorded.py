"""A judge that repeats stored verdicts."""

from pathlib import Path

import pytest

from arena_etl import config as configuration
from arena_etl.config import Config
from arena_etl.errors import InputError
from arena_etl.flywheel import do
from arena_etl.lake.delta import Lake
from arena_etl.verdicts.judge import judge_id
from arena_etl.verdicts.prompt import load_set
from arena_etl.verdicts.recorded import RecordedVerdicts
from tests.verdicts.test_judge import KEYS, THREE, arena, rows

DECIDED = (
    "select instruction_id, turn, model_a, model_b, shown_first, score_a, score_b, explanation, parse_status from verdicts "
    "order by all"
)


def replayed(config: Config, file: Path, root: Path) -> Config:
    """The same arena in a lake of its own, judged from a file."""
    judge = {"name": "judge", "backend": "recorded", "checkpoint": str(file), "verifiers": False}
    settings = config.model_dump(mode="json") | {"root": str(root), "judge": judge}
    again = configuration.load(flags=settings)
    lake = Lake.open(again)
    for source in again.sources:
        for step in ("land", "prepare"):
            do(again, lake, step, source.name)
    do(again, lake, "draw", *KEYS[:2])
    for step in ("generate", "judge"):
        do(again, lake, step, *KEYS)
    return again


@pytest.mark.parametrize("named", ["model_a", "regexp_replace(model_a, '-[0-9a-f]+$', '')"])
def test_a_round_is_judged_again_from_the_verdicts_of_a_lake(tmp_path: Path, named: str) -> None:
    """``named``: contestants by their ids, and by their names."""
    with arena(tmp_path, THREE) as (config, stub):
        do(config, Lake.open(config), "judge", *KEYS)
        calls = len(stub.calls)
        file = tmp_path / "verdicts.parquet"
        with Lake.open(config).connect() as connection:
            connection.sql(
                f"select instruction_id, turn, {named} as model_a, {named.replace('model_a', 'model_b')} as model_b, "
                "shown_first, raw_text from verdicts"
            ).write_parquet(str(file))
        again = replayed(config, file, tmp_path / "again")
        assert rows(again, DECIDED) == rows(config, DECIDED)
        assert len(stub.calls) == calls


def test_other_contents_are_another_judge(tmp_path: Path) -> None:
    file = tmp_path / "verdicts.csv"
    judge = configuration.Judge(backend="recorded", checkpoint=str(file))
    header = "instruction_id,turn,model_a,model_b,shown_first,raw_text\n"
    file.write_text(header + "q,1,a,b,model_a,no scores\n")
    first = judge_id(judge)
    file.write_text(header + "q,1,a,b,model_a,scores\n")
    assert judge_id(judge) != first


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("absent.csv", None, "an existing file"),
        ("v.txt", "x", "an existing file"),
        ("v.csv", "instruction_id,turn\nq,1\n", "needs the columns"),
        (
            "v.csv",
            "instruction_id,turn,model_a,model_b,shown_first,raw_text\n" + "q,1,a,b,model_a,x\n" * 2,
            "more than one text",
        ),
    ],
)
def test_a_file_that_cannot_be_repeated_is_refused(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        RecordedVerdicts(tmp_path / name, load_set("pairwise-v1"))
