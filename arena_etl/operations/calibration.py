"""Make the card of a judge from pairs that people labelled: ask the judge, or read what it said elsewhere.

The card is published through the audit of its own suite, and released at once, so that boards and gates see it.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from arena_etl.analytics.labelled_pairs import GAMES, count_reasons, describe, read_judgements, read_pairs
from arena_etl.config import Config
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake
from arena_etl.lake.releases import AUDIT_LOG, release
from arena_etl.lake.staging import Staging
from arena_etl.lake.tables import TABLES
from arena_etl.quality.publish import publish
from arena_etl.ranking import draw_resamples
from arena_etl.steps import Step, Summary, perform
from arena_etl.verdicts.calibration import Pair, find_judge, judge_pairs


def calibrate(
    config: Config,
    lake: Lake,
    pairs: str,
    judge: str,
    *,
    judgements: str | None = None,
    dataset: str | None = None,
    author: str = "calibrate",
) -> dict[str, Any]:
    """Publish the card of a judge on a file of labelled pairs, and release it.

    ``judge``: a configured judge, which is asked about every pair in both orders; with ``judgements`` (a file), the name of
    a judge in it. ``dataset``: the name of the pairs; default: that of the file. The same files again change nothing.

    Returns judge_id, dataset, source, the card (rows of ``judge_cards``), n_unusable, unusable (rows by reason), notes, and
    the release. Raises InputError as ``read_pairs``, ``read_judgements`` and ``find_judge`` do, ArenaError when the judge
    cannot be asked, GateStopped as every step does.
    """
    dataset = _safe(dataset or Path(pairs.removesuffix(".gz").removesuffix(".zst")).stem)
    source = "recorded" if judgements else "run"
    settings = config.ratings.model_dump(include={"resamples", "confidence", "seed", "max_clusters"})
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'; set enable_progress_bar = false")
        unusable = read_pairs(connection, pairs)
        if judgements:
            name, bad = read_judgements(connection, judgements, judge)
            judge_id, unusable = _safe(name), unusable + bad
        else:
            asked, judge_id = find_judge(config, judge)
        given = {
            "pairs": _sha256(pairs),
            "judgements": _sha256(judgements) if judgements else None,
            "judge": judge_id,
            "settings": settings,
        }

        def work(config: Config, lake: Lake, staging: Staging, *keys: str, unit: str) -> Summary:
            if not judgements:
                verdicts = judge_pairs(config, lake, asked, judge_id, _pairs(connection))
                _record(connection, verdicts)
            labels = {
                "judge_id": judge_id,
                "dataset": dataset,
                "source": source,
                "pairs_sha256": given["pairs"],
                "created_at": datetime.now(UTC),
            }
            rows = [row | labels for row in make_card(connection, settings)]
            staging.write(unit, "card", pa.Table.from_pylist(rows, schema=TABLES["judge_cards"].arrow_schema()))
            return {}

        step = Step("calibrate", "judge_cards", lambda config, lake, *keys: given, work)
        perform(step, config, lake, judge_id, dataset)
        publish(step, config, lake, judge_id, dataset)
    reason = f"card of judge {judge_id} on {dataset}"
    published = release(lake, config, None, author, reason, only=("judge_cards", *AUDIT_LOG))
    with lake.connect(["judge_cards"]) as connection:
        card = connection.sql(
            "select * from judge_cards where judge_id = $judge_id and dataset = $dataset "
            "order by category <> 'overall', category",
            params={"judge_id": judge_id, "dataset": dataset},
        ).to_arrow_table()
    return {
        "judge_id": judge_id,
        "dataset": dataset,
        "source": source,
        "card": card.drop_columns(["judge_id", "dataset"]).to_pylist(),
        "n_unusable": len(unusable),
        "unusable": count_reasons(unusable),
        "notes": [describe(unusable, 20)] if unusable else [],
        "release": published.release_id,
    }


def make_card(connection: duckdb.DuckDBPyConnection, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of sql/agreement/judge_card.sql from ``labelled_pairs`` and ``recorded_games``.

    ``settings``: resamples, max_clusters, seed and confidence of ``config.Ratings``.
    """
    partition = dict.fromkeys(("round", "stage", "arena"))
    sql.materialize(connection, "merged_pairs", "battles/merge_recorded", **partition)
    sql.materialize(connection, "calibration_games", "agreement/calibration_games")
    connection.execute("create or replace temporary view scoped_battles as from calibration_games")
    draw_resamples(connection, settings)
    rows: list[dict[str, Any]] = sql.run(connection, "agreement/judge_card", **settings).to_arrow_table().to_pylist()
    return rows


def _pairs(connection: duckdb.DuckDBPyConnection) -> list[Pair]:
    rows = connection.sql(
        "select content_id, instruction, output_1, output_2, category from labelled_pairs where reason is null order by row"
    ).fetchall()
    return [Pair(*row) for row in rows]


def _record(connection: duckdb.DuckDBPyConnection, verdicts: pa.Table) -> None:
    """Create ``recorded_games`` from verdicts, every verdict for each pair that has its texts."""
    connection.register("verdicts", verdicts)
    connection.execute(GAMES)
    connection.execute(
        """
        insert into recorded_games by name
        select
            pairs.pair_id as instruction_id,
            1 as turn,
            if(shown_first = 'model_a', model_a, model_b) as model_a,
            if(shown_first = 'model_a', model_b, model_a) as model_b,
            judge_id,
            if(shown_first = 'model_a', score_a, score_b) as points_a,
            if(shown_first = 'model_a', score_b, score_a) as points_b,
            (1 + sign(points_a - points_b)) / 2 as score,
            'verdicts' as file,
            tokens_in + tokens_out as tokens,
            cost_usd
        from verdicts
        inner join labelled_pairs as pairs on pairs.content_id = verdicts.instruction_id and pairs.reason is null
        """
    )


def _safe(name: str) -> str:
    """The name as a partition can have it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-") or "unnamed"


def _sha256(file: str) -> str:
    with Path(file).open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
