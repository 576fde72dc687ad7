"""Merge the games of every pair into a battle (sql/battles/merge_games.sql, merge_panel.sql, styled.sql)."""

from typing import Any

from arena_etl.config import Config, digest
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.staging import Staging


def inputs(config: Config, lake: Lake, round_: str, stage: str, arena: str) -> Any:
    verdicts = Partition("verdicts", (round_, stage, arena))
    panel = config.panel.model_dump(include={"rule", "quorum"}) if config.panel.judges else None
    return {"verdicts": lake.require(verdicts, "`arena-etl judge` comes first."), "panel": panel}


def merge(
    config: Config, lake: Lake, staging: Staging, round_: str, stage: str, arena: str, unit: str
) -> dict[str, int]:
    """Stage the battles of an arena."""
    partition = {"round": round_, "stage": stage, "arena": arena}
    with lake.connect(["verdicts", "responses"]) as connection:
        sql.materialize(connection, "judge_battles", "battles/merge_games", **partition)
        if config.panel.judges:
            members = connection.execute(
                "select distinct judge_id from verdicts where judge_kind = 'model' and round = ? and stage = ? and arena = ? "
                "order by judge_id",
                [round_, stage, arena],
            ).fetchall()
            panel, rule, quorum = [name for (name,) in members], config.panel.rule, config.panel.quorum
            panel_id = f"panel-{digest([panel, rule, quorum])[:8]}"
            parameters = {"panel": panel, "panel_id": panel_id, "rule": rule, "quorum": quorum}
            sql.materialize(connection, "merged_battles", "battles/merge_panel", **parameters)
        else:
            connection.execute("create temporary view merged_battles as select * from judge_battles")
        sql.materialize(connection, "judged_answers", "battles/judged_answers", **partition)
        sql.materialize(connection, "answer_style", "battles/answer_style")
        rows = sql.run(connection, "battles/styled").to_arrow_table()
    staging.write(unit, "battles", rows)
    return {"battles": rows.num_rows}
