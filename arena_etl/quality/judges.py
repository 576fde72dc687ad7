"""Which judges the gate of ``verdicts`` lets pass: those whose card says that they agree with people."""

import pyarrow as pa
import pyarrow.compute as pc

from arena_etl.config import Config
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake


def calibrated_judges(config: Config, lake: Lake) -> set[str]:
    """judge_ids of those whose cards all reach ``quality.min_judge_agreement``: sql/agreement/calibrated_judges.sql."""
    with lake.connect(["judge_cards"]) as connection:
        minimum = config.quality.min_judge_agreement
        rows = sql.run(connection, "agreement/calibrated_judges", min_judge_agreement=minimum).fetchall()
    return {row[0] for row in rows}


def judge_limits(config: Config, lake: Lake, verdicts: pa.Table) -> dict[str, list[str]]:
    """The values of two limits in expectations/verdicts.json, out of the judges of a batch.

    A judge has no warning, or does not stop the batch, if ``quality.judge_card`` does not ask for that, or if all its cards
    are good enough.
    """
    present = set(pc.unique(verdicts["judge_id"].combine_chunks()).to_pylist())
    calibrated = sorted(present & calibrated_judges(config, lake))
    everybody = sorted(present, key=str)
    asked = config.quality.judge_card
    return {
        "judges_without_warning": calibrated if asked == "warn" else everybody,
        "judges_without_stop": calibrated if asked == "stop" else everybody,
    }
