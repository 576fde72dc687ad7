"""A training job: from rows of the lake to a checkpoint in the lake. ``python -m arena_etl.training.job`` runs one elsewhere.

Everything about a job lies in one folder beside the rows that its step stages, so it disappears with them: what it is to do,
who works on it, its newest checkpoint to resume from, and its result.
"""

import gc
import json
import logging
import math
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from arena_etl.config import Config, Contestant
from arena_etl.contestants import model_dir, opener
from arena_etl.engines import store
from arena_etl.errors import ArenaError, InputError
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.releases import releases
from arena_etl.lake.staging import Staging
from arena_etl.training import card

BEAT_SECONDS = 5
_RECORD, _ALIVE, _RESULT, _CHECKPOINT = "job.json", "alive.json", "result.json", "checkpoint.json"
Outcome = dict[str, Any]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One training of a round. ``run_id`` follows from its inputs: the same work has the same id on every attempt."""

    round: str
    stage: str
    fingerprint: int

    @property
    def run_id(self) -> str:
        return f"{self.round}-{self.stage}-{self.fingerprint:015x}"


class Folder:
    """The files of a job in the lake."""

    def __init__(self, lake: Lake, job: Job) -> None:
        staging = Staging(lake, Partition("training_runs", (job.round, job.stage)), job.fingerprint)
        self.staging = staging
        self._lake, self._path = lake, f"{staging.folder}/job"

    def read(self, name: str) -> Outcome | None:
        """A JSON file of the job; None where it is not there."""
        try:
            content: Outcome = json.loads(self._lake.storage.filesystem.cat_file(f"{self._path}/{name}"))
        except FileNotFoundError:
            return None
        return content

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        self._lake.storage.put(f"{self._path}/{name}", json.dumps(content).encode())

    def remove(self) -> None:
        """Forget the job, so that the next attempt starts it anew."""
        if self._lake.storage.filesystem.exists(self._path):
            self._lake.storage.filesystem.rm(self._path, recursive=True)

    def save(self, folder: Path) -> None:
        """Upload a trainer's checkpoint; it counts once it is complete, and then the one before it goes."""
        filesystem, before = self._lake.storage.filesystem, self.read(_CHECKPOINT)
        target = f"{self._path}/{folder.name}"
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            filesystem.put_file(str(file), f"{target}/{file.relative_to(folder).as_posix()}")
        self.write(_CHECKPOINT, {"name": folder.name})
        if before is not None and before["name"] != folder.name:
            filesystem.rm(f"{self._path}/{before['name']}", recursive=True)

    def fetch(self, scratch: Path) -> Path | None:
        """The newest complete checkpoint as a folder in ``scratch``; None without one. One of several processes brings it."""
        newest = self.read(_CHECKPOINT)
        if newest is None:
            return None
        filesystem, source = self._lake.storage.filesystem, f"{self._path}/{newest['name']}"
        root = filesystem._strip_protocol(source).rstrip("/")
        local = scratch / str(newest["name"])
        if not local.exists():
            arriving = local.with_name(f".{local.name}")
            for file in filesystem.find(root):
                place = arriving / str(file)[len(root) + 1 :]
                place.parent.mkdir(parents=True, exist_ok=True)
                filesystem.get_file(file, str(place))
            arriving.rename(local)
        return local

    def outcome(self) -> Outcome | None:
        """What came of the job. Raises the error that it ended with, and forgets the job, so that it can be tried again."""
        result = self.read(_RESULT)
        if result is not None and "error" in result:
            self.remove()
            raise {2: InputError}.get(result["exit_code"], ArenaError)(result["error"])
        return result


def parent(config: Config, lake: Lake, job: Job) -> Contestant:
    """The model that the job starts from."""
    if config.training(job.stage).start == "base":
        return config.target
    return opener(config, lake, job.round, job.stage)


def read_examples(config: Config, lake: Lake, job: Job) -> pa.Table:
    """The rows of training_sets that the job learns from."""
    parameters = {"round": job.round, "stage": job.stage, "accumulate": config.training(job.stage).accumulate}
    with lake.connect(["training_sets"]) as connection:
        examples: pa.Table = sql.run(connection, "training/examples", **parameters).to_arrow_table()
        return examples


def check_examples(lake: Lake, job: Job, examples: pa.Table) -> str:
    """The hash of the examples. Raises InputError when one of them belongs to the test set."""
    with lake.connect(["instructions"]) as connection:
        connection.register("training_examples", examples)
        leaked = sql.run(connection, "training/leaked").fetchall()
        if leaked:
            raise InputError(
                f"round {job.round}, stage {job.stage}: {len(leaked)} training examples are test instructions, the first is "
                f"{leaked[0][0]} (test instruction {leaked[0][2]}). Nothing was trained: a test that was trained on proves "
                "nothing. Take those lines out of the training source, and select again."
            )
        [(_, data_hash)] = sql.run(connection, "training/digest").fetchall()
        return str(data_hash)


def perform(config: Config, lake: Lake, job: Job, work: Path, alone: bool = True) -> Outcome:
    """Train, and put the checkpoint under ``lake:checkpoints/``; what is to be known of it as JSON.

    ``work``: a local folder for it, the same for all processes of the job. ``alone``: this process speaks for the job; of
    several that train together, one does. A finished job is not done again, an interrupted one goes on from its newest
    checkpoint.
    """
    folder = Folder(lake, job)
    if (result := folder.outcome()) is not None:
        return result
    examples = read_examples(config, lake, job)
    data_hash = check_examples(lake, job, examples)
    started_from = parent(config, lake, job)
    known = releases(lake)
    outcome: Outcome = {
        "run_id": job.run_id,
        "parent": started_from.contestant_id,
        "status": "skipped",
        "reason": "nothing was selected" if not examples.num_rows else None,
        "examples": examples.num_rows,
        "data_hash": data_hash,
        "release_id": known[-1].release_id if known else None,
        "config_hash": config.digest,
        "seed": config.training(job.stage).seed,
        "checkpoint": None,
    }
    reward = _reward_model(config, lake, job)
    if job.stage == "ppo" and reward is None and examples.num_rows:
        outcome["reason"] = "there is no reward model: its training was skipped or stopped"
    elif examples.num_rows:
        base = model_dir(config, lake, started_from.checkpoint, started_from.revision)
        out = work / "checkpoint"
        result = _train(config, lake, job, examples, base, out, reward, folder, alone)
        outcome |= _told(result)
        if result.stopped is None:
            # Every training writes a folder of its own: weights that were trained again are another contestant and
            # never answer in the name of the first.
            place = f"checkpoints/{job.run_id}-{uuid.uuid4().hex[:8]}"
            outcome |= {"status": "trained", "checkpoint": f"lake:{place}"}
            if alone:
                (out / "README.md").write_text(card.render(config, job.stage, outcome, examples), encoding="utf-8")
                store.upload(out, lake.storage.uri(place), lake.storage.filesystem)
        else:
            outcome |= {"status": "stopped", "reason": result.stopped}
    if alone:
        folder.write(_RESULT, outcome)
    return outcome


def _reward_model(config: Config, lake: Lake, job: Job) -> Path | None:
    if job.stage != "ppo":
        return None
    with lake.connect(["training_runs"]) as connection:
        row = connection.execute(
            "select checkpoint from training_runs where round = $round and stage = 'rm' and status = 'trained'",
            {"round": job.round},
        ).fetchone()
    return model_dir(config, lake, row[0], None) if row is not None else None


def _train(
    config: Config,
    lake: Lake,
    job: Job,
    examples: pa.Table,
    base: Path,
    out: Path,
    reward: Path | None,
    folder: Folder,
    alone: bool,
) -> Any:
    from accelerate import PartialState

    from arena_etl.engines import hardware
    from arena_etl.training import trainers
    from arena_etl.training.callbacks import Watch

    bar = _Notes(folder, job) if alone else None
    with PartialState(cpu=hardware.device(config.engine) == "cpu").main_process_first():
        resume = folder.fetch(out.parent)
    if resume is not None:
        logger.info("%s goes on from %s", job.run_id, resume.name)
    watch = Watch(
        config.guards,
        **({"heard": bar} if bar else {}),
        save=folder.save if config.launch.save_steps else None,
        save_steps=config.launch.save_steps,
        resume=resume,
        tracking=config.launch.tracking,
    )
    reference = None
    if job.stage in ("dpo", "ppo") and getattr(config, job.stage).reference == "base":
        reference = model_dir(config, lake, config.target.checkpoint, config.target.revision)
    try:
        if job.stage == "sft":
            return trainers.train_sft(examples, base, out, config.sft, config.engine, watch)
        if job.stage == "dpo":
            return trainers.train_dpo(examples, base, out, config.dpo, config.engine, watch, reference)
        if job.stage == "rm":
            return trainers.train_reward(examples, base, out, config.rm, config.engine, watch)
        assert reward is not None
        return trainers.train_rl(
            examples, base, out, config.ppo, config.engine, watch, reward_model=reward, reference=reference
        )
    finally:
        gc.collect()  # cycles inside the trainer would hold model and optimizer through the next step


def _told(result: Any) -> Outcome:
    losses = [step.loss for step in result.curve]
    tail = losses[-max(1, len(losses) // 4) :]
    return {
        "steps": result.steps,
        "effective_batch_size": result.effective_batch_size,
        "versions": result.versions,
        "curve": [vars(step) for step in result.curve],
        "metrics": [{"step": step, "name": name, "value": value} for step, name, value in result.metrics],
        "accuracy": result.accuracy,
        "first_loss": _finite(losses[0]) if losses else None,
        "last_loss": _finite(sum(tail) / len(tail)) if tail else None,
        "seconds": result.seconds,
    }


def _finite(loss: float) -> float | None:
    """A row tells no loss that is no number; the curve does."""
    return loss if math.isfinite(loss) else None


class _Notes:
    """Tells `arena-etl status` how far a training is."""

    def __init__(self, folder: Folder, job: Job) -> None:
        self._folder, self._job = folder, job
        self._first: tuple[int, float] | None = None
        self._written = 0.0

    def __call__(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        now = time.time()
        self._first = self._first or (step - 1, now)
        if now - self._written < BEAT_SECONDS and step < total:
            return
        self._written = now
        begun, since = self._first
        note = {
            "step": "train",
            "partition": self._folder.staging.partition.key,
            "unit": self._job.stage,
            "done": step,
            "total": total,
            "noun": "steps",
            "loss": metrics.get("loss"),
            "eta_s": round((total - step) * (now - since) / max(1, step - begun)),
            "updated": now,
        }
        self._folder.staging.note(self._job.stage, json.dumps(note).encode())


@contextmanager
def alive(folder: Folder, job_id: str) -> Iterator[None]:
    """Give signs of life while a job is worked on elsewhere; end this process when another one has taken the job over."""
    done = threading.Event()

    def beat() -> None:
        while not done.is_set():
            record = folder.read(_RECORD)
            if record is None or record["job_id"] != job_id:
                os._exit(ArenaError.exit_code)
            sign = {"job_id": job_id, "updated": time.time(), "host": socket.gethostname(), "pid": os.getpid()}
            folder.write(_ALIVE, sign)
            done.wait(BEAT_SECONDS)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def main(arguments: list[str]) -> int:
    """``ROOT S3_ENDPOINT|- ROUND STAGE FINGERPRINT JOB_ID``: work on a recorded job; its settings are in its record."""
    from arena_etl.lake.storage import Storage

    root, endpoint, round_, stage, fingerprint, job_id = arguments
    lake = Lake(Storage(root, None if endpoint == "-" else endpoint))
    job = Job(round_, stage, int(fingerprint))
    folder = Folder(lake, job)
    record = folder.read(_RECORD)
    if record is None or record["job_id"] != job_id:
        return 0  # somebody else has taken the job over
    config = Config(**record["config"])
    alone = int(os.environ.get("RANK", "0")) == 0  # of several processes under accelerate
    work = Path(tempfile.gettempdir()) / f"arena-etl-{job_id}"
    try:
        if not alone:
            perform(config, lake, job, work, alone=False)
            return 0
        with alive(folder, job_id):
            perform(config, lake, job, work)
    except ArenaError as error:
        if alone:
            folder.write(_RESULT, {"error": str(error), "exit_code": error.exit_code})
        return error.exit_code
    finally:
        if alone:
            shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(main(sys.argv[1:]))
