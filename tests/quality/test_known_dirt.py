"""What is wrong with published battles is found by the suites when they are imported."""

import json
from pathlib import Path

import duckdb
import pytest

from arena_etl import config as configuration
from arena_etl.lake.delta import Lake
from arena_etl.operations.recordings import Recording, import_files
from arena_etl.quality.report import report
from tests.shared_data import SHARED_DATA

ROUND = "2024-01-01"

pytestmark = pytest.mark.skipif(
    not SHARED_DATA.is_dir(), reason="needs the published answers and verdicts (SHARED_DATA)"
)


def published(folder: Path) -> list[str]:
    """Files as AlpacaEval has them: a verdict file that judges another model, outputs, and verdicts of which some are null."""
    falcon = SHARED_DATA / "raw" / "alpaca_eval" / "falcon-7b-instruct"
    tables = SHARED_DATA / "alpaca_eval"
    outputs = f"""
        select i.instruction, o.output, o.model as generator
        from '{tables}/outputs.parquet' o join '{SHARED_DATA}/instructions.parquet' i using (instruction_id)
        where o.model in ('text_davinci_003', 'NullModel')
        """
    verdicts = f"""
        select
            i.instruction, v.baseline as generator_1, b.output as output_1, v.model as generator_2, o.output as output_2,
            v.judge as annotator, v.preference
        from '{tables}/verdicts.parquet' v
        join '{SHARED_DATA}/instructions.parquet' i using (instruction_id)
        join '{tables}/outputs.parquet' o on o.instruction_id = v.instruction_id and o.model = v.model
        join '{tables}/outputs.parquet' b on b.instruction_id = v.instruction_id and b.model = v.baseline_output_ref
        where (v.judge, v.model) in (
            ('alpaca_eval_gpt4', 'gpt35_turbo_instruct'), ('weighted_alpaca_eval_gpt4_turbo', 'NullModel')
        )
        """
    files = []
    with duckdb.connect() as connection:
        for name, query in (("outputs", outputs), ("annotations", verdicts)):
            file = folder / f"{name}.json"
            connection.execute(f"copy ({query}) to '{file}' (format json, array true)")
            files.append(str(file))
    return [*files, str(falcon / "model_outputs.json"), str(falcon / "alpaca_eval_gpt4" / "annotations.json")]


def test_known_dirt_of_published_battles_is_found_and_listed(tmp_path: Path) -> None:
    config = configuration.load(flags={"root": str(tmp_path / "lake"), "sources": []})
    lake = Lake.open(config)
    given = Recording(ROUND, "sft", "wizard_arena", "CC-BY-NC-4.0", "en", None, {})
    import_files(config, lake, published(tmp_path), given)

    found = report(config, lake, ROUND)
    assert not [problem for problem in found["standing"] if problem["stops"]]
    subjects = {
        problem["expectation"].split("(")[1].rstrip(")"): {
            key["subject"].rsplit("-", 1)[0] for key in json.loads(problem["samples"] or "[]") if "subject" in key
        }
        for problem in found["standing"]
    }
    assert subjects["unjudged"] == {"falcon-7b-instruct"}  # its verdict file judges falcon-40b-instruct
    assert subjects["contradicted_share"] == {"text_davinci_003"}  # 785 of 805 reference answers differ
    assert subjects["repeated_share"] == {"NullModel"}  # one answer to everything
    assert subjects["unread"] == {"(all)"}  # null verdicts
    values = {(row["subject"].rsplit("-", 1)[0], row["measure"]): row["value"] for row in found["figures"]}
    assert values["text_davinci_003", "contradicted_share"] == pytest.approx(785 / 805, abs=2 / 805)
    assert values["(all)", "unread"] == 4
    assert values["NullModel", "repeated_share"] == 1
