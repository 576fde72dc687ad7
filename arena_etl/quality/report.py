"""What the gates found in a round, in one place: outcomes, problems, unusual figures, held rows, decisions, messages."""

from typing import Any

from arena_etl.config import Config
from arena_etl.lake import outcomes, sql
from arena_etl.lake.delta import Lake
from arena_etl.quality.alerts import ingested

Row = dict[str, Any]


def report(config: Config, lake: Lake, round_: str) -> dict[str, Any]:
    """The state of a round's quality as it is now, released or not.

    ``outcomes``: counts per table and severity over all audits. ``standing``: what the newest audit of a batch found wrong
    (``stops``: it is not published). ``figures``: columns as in sql/quality/figures.sql. ``held``: rows in quarantine per rule.
    ``decisions`` about the round's audits, ``alerts`` that were sent about it, ``pages``: GX's page of every audited batch.
    """
    with lake.connect(["quality_results", "measures", "quarantine", "decisions", "alerts"]) as connection:

        def rows(name: str) -> list[Row]:
            return list(sql.run(connection, name, round=round_).to_arrow_table().to_pylist())

        counts, figures, held = rows("reports/quality"), rows("quality/figures"), rows("quality/held_counts")
        parameters = {"round": round_}
        decided = connection.sql(
            """
            select * from decisions
            where audit_id in (select quality_results.audit_id from quality_results where round = $round or round is null)
            order by created_at
            """,
            params=parameters,
        ).to_arrow_table()
        sent = connection.sql(
            "select * exclude (text) from alerts where round = $round or round is null order by created_at",
            params=parameters,
        ).to_arrow_table()
    return {
        "round": round_,
        "outcomes": counts,
        "standing": outcomes.standing(lake, round_, ingested(config)),
        "figures": figures,
        "held": held,
        "decisions": decided.to_pylist(),
        "alerts": sent.to_pylist(),
        "pages": _pages(lake, round_),
    }


def _pages(lake: Lake, round_: str) -> list[str]:
    folder = lake.storage.uri("reports", round_, "quality")
    filesystem = lake.storage.filesystem
    names = sorted(filesystem.ls(folder, detail=False)) if filesystem.exists(folder) else []
    return [f"{folder}/{str(name).rsplit('/', 1)[-1]}" for name in names]
