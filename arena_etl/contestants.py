"""Who fights where: the champion, the candidate of a stage and the rivals."""

from dataclasses import dataclass
from pathlib import Path

from arena_etl.config import Config, Contestant, Model
from arena_etl.engines import store
from arena_etl.errors import ArenaError
from arena_etl.lake.delta import Lake, Partition
from arena_etl.rounds import WIZARD_ARENA, fought_in

LOCAL = ("transformers", "vllm", "reward")  # backends that load the weights into this process


@dataclass(frozen=True)
class Entrant:
    """A contestant in its part: ``role`` is target (the champion), rival or candidate."""

    contestant: Contestant
    role: str
    parent: str | None = None

    @property
    def contestant_id(self) -> str:
        return self.contestant.contestant_id


def roster(config: Config, lake: Lake, round_: str, stage: str, arena: str) -> list[Entrant]:
    """The contestants of an arena: who opens the stage and the rivals; on the test set the champion, the rivals and the
    stage's candidate.
    """
    holder = champion if arena == WIZARD_ARENA else opener
    entrants = [Entrant(holder(config, lake, round_, stage), "target")]
    entrants += [Entrant(rival, "rival") for rival in config.rivals]
    if arena == WIZARD_ARENA and (trained := candidate(config, lake, round_, stage)) is not None:
        entrants.append(Entrant(trained, "candidate", entrants[0].contestant_id))
    return entrants


def opener(config: Config, lake: Lake, round_: str, stage: str) -> Contestant:
    """Who fights as the target in a stage, and is trained by it: the champion, or by ``iterations.opens`` the last checkpoint
    that was trained before the stage, promoted or not.
    """
    if config.iterations.opens == "champion":
        return champion(config, lake, round_, stage)
    with lake.connect(["training_runs", "models"]) as connection:
        row = connection.execute(
            """
            select r.round, r.stage, r.checkpoint
            from training_runs r join models m on m.contestant_id = r.candidate
            where m.family = $family and list_contains($stages, r.stage)
              and (r.round < $round or (r.round = $round and list_position($stages, r.stage) < list_position($stages, $stage)))
            order by r.round desc, list_position($stages, r.stage) desc
            limit 1
            """,
            {
                "family": config.target.name,
                "round": round_,
                "stage": fought_in(stage),
                "stages": list(config.stages),
            },
        ).fetchone()
    return config.target if row is None else trained_contestant(config, *row)


def champion(config: Config, lake: Lake, round_: str, stage: str) -> Contestant:
    """The best checkpoint of the target before a stage: the last one promoted, else the target.

    It answers with the target's sampling and system prompt of today, as the candidate does: a promotion compares weights.
    Another base model is another target: give it another name, or its promoted descendants go on.
    """
    with lake.connect(["promotions", "models"]) as connection:
        row = connection.execute(
            """
            select m.name, m.checkpoint
            from promotions p join models m on m.contestant_id = p.candidate
            where p.decision = 'promoted' and m.family = $family
              and (p.round < $round or (p.round = $round and list_position($stages, p.stage) < list_position($stages, $stage)))
            order by p.round desc, list_position($stages, p.stage) desc
            limit 1
            """,
            {
                "family": config.target.name,
                "round": round_,
                "stage": fought_in(stage),
                "stages": list(config.stages),
            },
        ).fetchone()
    if row is None:
        return config.target
    return config.target.model_copy(update={"name": row[0], "checkpoint": row[1], "revision": None})


def has_trained(lake: Lake, round_: str, stage: str) -> bool:
    """Whether the stage's training is published, with a checkpoint or without."""
    return lake.fingerprint(Partition("training_runs", (round_, stage))) is not None


def candidate(config: Config, lake: Lake, round_: str, stage: str) -> Contestant | None:
    """The contestant that the stage trained; None when nothing was selected to train on.

    Raises ArenaError before the stage's training is published.
    """
    with lake.connect(["training_runs"]) as connection:
        row = connection.execute(
            "select checkpoint from training_runs where round = $round and stage = $stage",
            {"round": round_, "stage": stage},
        ).fetchone()
    if row is None:
        raise ArenaError(f"round {round_}, stage {stage}: nothing was trained yet. `arena-etl train` comes first.")
    return trained_contestant(config, round_, stage, row[0]) if row[0] is not None else None


def trained_contestant(config: Config, round_: str, stage: str, checkpoint: str) -> Contestant:
    """The target's definition over the weights that a stage trained."""
    name = f"{config.target.name}-{round_}-{stage}"
    return config.target.model_copy(update={"name": name, "checkpoint": checkpoint, "revision": None})


def checkpoint_dir(config: Config, lake: Lake, model: Model) -> Path | None:
    """The local folder of a model that runs in this process; None where the weights are elsewhere, or there are none."""
    if model.backend not in LOCAL:
        return None
    return model_dir(config, lake, model.checkpoint, model.revision)


def model_dir(config: Config, lake: Lake, checkpoint: str, revision: str | None) -> Path:
    """A local folder with the checkpoint. ``lake:PATH`` lies under the lake's root, so a lake can move."""
    if checkpoint.startswith("lake:"):
        checkpoint = lake.storage.uri(checkpoint.removeprefix("lake:"))
    filesystem = lake.storage.filesystem_of(checkpoint) if "://" in checkpoint else None
    return store.fetch(checkpoint, revision, Path(config.engine.models_dir), filesystem)
