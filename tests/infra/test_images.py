"""What the images install, installed for real: in a clean environment, from nothing but what a Dockerfile copies. Slow."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = sorted((ROOT / "infra" / "images").glob("*.Dockerfile"))
# What a container does first: the worker reads the DAGs that travel in the package, the trainer looks for its job.
STARTS = {
    "airflow": "from airflow.dag_processing.dagbag import DagBag\n"
    "from arena_etl.resources import DAGS\n"
    "from arena_etl.operations import lineage\n"
    "bag = DagBag(str(DAGS))\n"
    "assert not bag.import_errors, bag.import_errors\n"
    "assert 'arena_flywheel' in bag.dags",
    "trainer": "import trl, peft, accelerate, torch\nfrom arena_etl.training import job, trainers",
}


def installed(dockerfile: Path, folder: Path) -> Path:
    """The interpreter of an environment with what the image's ``pip install`` names."""
    text = dockerfile.read_text(encoding="utf-8").replace("\\\n", " ")
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, re.MULTILINE)) | {
        "AIRFLOW_VERSION": (re.findall(r"^FROM apache/airflow:([\d.]+)", text, re.MULTILINE) or [""])[0]
    }
    [step] = re.findall(r"^RUN pip install (.*?)&&", text, re.MULTILINE)
    wanted = re.sub(r"\$\{(\w+)\}", lambda name: arguments[name[1]], step)
    copied = folder / "copied"
    for sources, target in re.findall(r"^COPY (?:--chown=\S+ )?(.*) (\S+)$", text, re.MULTILINE):
        if target.startswith("/tmp/arena-etl"):
            for source in sources.split():
                place = copied / Path(target.removeprefix("/tmp/arena-etl").strip("/"))
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    place.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / source, place)
    uv = Path(sys.executable).with_name("uv")
    python = folder / "venv" / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder / "venv"], check=True)
    names = [name.replace("/tmp/arena-etl", str(copied)) for name in re.findall(r'"([^"]+)"', wanted)]
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *names], check=True, timeout=900)
    return python


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("dockerfile", IMAGES, ids=lambda file: file.stem)
def test_what_an_image_installs_starts(dockerfile: Path, tmp_path: Path) -> None:
    python = installed(dockerfile, tmp_path)
    environment = {"PATH": os.environ["PATH"], "AIRFLOW_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}
    command = [python, "-c", STARTS[dockerfile.stem]]
    started = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert started.returncode == 0, started.stderr
