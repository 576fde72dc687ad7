"""Training sets as data sets that Hugging Face's `load_dataset` reads, and the champion as an ordinary checkpoint folder."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import yaml

from arena_etl.config import Config
from arena_etl.contestants import champion, model_dir
from arena_etl.errors import ArenaError, InputError
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake
from arena_etl.lake.releases import Release, find, table_versions

NEVER = "9999-12-31"  # after every round


@dataclass(frozen=True)
class Layout:
    """How a stage's examples are written: the SQL file, and the suffix of the two splits."""

    query: str
    suffix: str
    title: str


LAYOUTS = {
    "sft": Layout("export/sft", "sft", "conversations whose last answer is to be learned"),
    "dpo": Layout("export/preferences", "prefs", "pairs of answers for preference optimisation"),
    "rm": Layout("export/preferences", "prefs", "pairs of answers for a reward model"),
    "ppo": Layout("export/prompts", "gen", "prompts for reinforcement learning"),
}


def export(
    config: Config,
    lake: Lake,
    stage: str,
    output: Path,
    round_: str | None = None,
    as_of: str | None = None,
    test_share: float = 0.05,
    seed: int = 0,
) -> dict[str, int]:
    """Write ``output``: data/train_*.parquet, data/test_*.parquet and README.md, the dataset card. Rows per split.

    ``stage``: sft (``messages``), dpo and rm (``prompt``, ``chosen``, ``rejected`` as lists of messages) or ppo
    (``prompt``). ``round_``: only that one; None: all rounds of the release. A split without rows is not written.

    Raises InputError when ``output`` exists, ArenaError when there is nothing to write.
    """
    layout, chosen = LAYOUTS[stage], find(lake, as_of)
    with lake.connect(["training_sets", "instructions"], table_versions(lake, chosen)) as connection:
        sql.materialize(connection, "splits", "export/splits", test_share=test_share, seed=seed)
        sql.materialize(connection, "exported", layout.query, stage=stage, round=round_)
        rows = {split: _count(connection, split) for split in ("train", "test")}
        if not any(rows.values()):
            raise ArenaError(
                f"nothing of stage {stage}{f' and round {round_}' if round_ else ''} is in this release: "
                "`arena-etl select` makes training sets, `--as-of head` reads unreleased ones."
            )
        with _written_whole(output) as folder:
            (folder / "data").mkdir()
            names = {f"{split}_{layout.suffix}": count for split, count in rows.items() if count}
            for name in names:
                split = name.partition("_")[0]
                relation = connection.sql(
                    f"select * exclude (split) from exported where split = '{split}' order by prompt_id"
                )
                relation.write_parquet(str(folder / "data" / f"{name}-00000-of-00001.parquet"), compression="zstd")
            (folder / "README.md").write_text(_card(connection, stage, names, chosen, test_share), encoding="utf-8")
    return names


def export_champion(config: Config, lake: Lake, output: Path) -> str:
    """Copy the checkpoint of today's champion to ``output``, ready for `vllm serve` or from_pretrained. Its contestant id."""
    holder = champion(config, lake, NEVER, config.stages[0])
    source = model_dir(config, lake, holder.checkpoint, holder.revision)
    with _written_whole(output) as folder:
        shutil.copytree(source, folder, dirs_exist_ok=True)
    return holder.contestant_id


@contextmanager
def _written_whole(output: Path) -> Iterator[Path]:
    """A folder beside ``output`` that becomes it at the end."""
    if output.exists():
        raise InputError(f"{output}: exists already; it is left as it is. Name another folder, or move it away.")
    temporary = output.with_name(f".{output.name}.{uuid.uuid4().hex[:8]}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        temporary.rename(output)
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({error}).") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _count(connection: duckdb.DuckDBPyConnection, split: str) -> int:
    [(count,)] = connection.execute("select count(*) from exported where split = ?", [split]).fetchall()
    return int(count)


def _card(
    connection: duckdb.DuckDBPyConnection, stage: str, rows: dict[str, int], release: Release | None, test_share: float
) -> str:
    licences = dict(connection.sql("select license, count(*) from exported group by 1 order by 1").fetchall())
    known = list(licences)
    head: dict[str, Any] = {
        "license": known[0].lower() if len(known) == 1 else "other",
        "tags": ["arena-learning", stage],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": name, "path": f"data/{name}-*.parquet"} for name in rows],
            }
        ],
    }
    origin = (
        f"release {release.release_id} of {release.created_at:%Y-%m-%d}, configuration {release.config_hash}"
        if release
        else "unreleased tables"
    )
    sources = connection.sql(
        "select source, license, count(*) as examples, count(distinct instruction_id) as instructions "
        "from exported group by all order by all"
    ).fetchall()
    models = connection.sql(
        "select chosen_model, count(*) as examples from exported group by 1 order by 2 desc, 1"
    ).fetchall()
    rounds = connection.sql("select round, count(*) from exported group by 1 order by 1").fetchall()
    return "\n".join(
        [
            f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n",
            f"# Arena Learning, stage {stage}: {LAYOUTS[stage].title}\n",
            f"Selected from battles of a data lake ({origin}).\n",
            _table(("split", "examples"), rows.items()),
            f"The test split has about {test_share:.0%} of the instructions, each with all its turns.\n",
            "## Origin and licences\n",
            _table(("source", "licence of the instructions", "examples", "instructions"), sources),
            "Answers were written by these models, whose own terms apply to them:\n",
            _table(("model of the better answer", "examples"), models),
            "## Rounds\n",
            _table(("round", "examples"), rounds),
        ]
    )


def _table(header: tuple[str, ...], rows: Any) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return (
        "\n".join(
            "| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in line) + " |"
            for line in lines
        )
        + "\n"
    )
