"""Where a training job runs: in this process, in another one, or in a Kubernetes pod.

A job that runs elsewhere is recorded before it starts. Whoever comes after a crash finds the record: it takes the result,
waits for a job that still gives signs of life, or starts a dead one again, which goes on from its newest checkpoint.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from arena_etl.config import Config
from arena_etl.errors import ArenaError, InputError
from arena_etl.lake.delta import Lake
from arena_etl.training.job import Folder, Job, Outcome, perform

POLL_SECONDS = 0.5
_MODULE = ("-m", "arena_etl.training.job")


def outcome(config: Config, lake: Lake, job: Job) -> Outcome:
    """What comes of a job (``job.perform``), however often this is called and whatever was killed in between.

    Raises the error that the job ended with, and ArenaError when it ended without a word.
    """
    folder = Folder(lake, job)
    if (result := folder.outcome()) is not None:
        return result
    record = folder.read("job.json")
    ended: Callable[[], bool] = lambda: False  # noqa: E731
    if record is None or _is_silent(folder, record, config.launch.silence_s):
        if config.launch.where == "process":
            with tempfile.TemporaryDirectory() as scratch:
                return perform(config, lake, job, Path(scratch))
        record = {"job_id": uuid.uuid4().hex[:12], "config": config.model_dump(mode="json"), "stored": time.time()}
        folder.write("job.json", record)
        arguments = _arguments(lake, job, record["job_id"])
        start = _start_pod if config.launch.where == "kubernetes" else _start_process
        ended = start(config, record["job_id"], arguments)
    while True:
        over = ended() or _is_silent(folder, record, config.launch.silence_s)
        if (result := folder.outcome()) is not None:
            return result
        if over:
            folder.write("job.json", {**record, "job_id": "ended"})
            raise ArenaError(
                f"{job.run_id}: the training job ended without a result. Its own output says why; run the same command "
                "again to go on from its newest checkpoint."
            )
        time.sleep(POLL_SECONDS)


def _is_silent(folder: Folder, record: Mapping[str, Any], limit: float) -> bool:
    """Whether the recorded job gave no sign of life for longer than the limit."""
    if record["job_id"] == "ended":
        return True
    sign = folder.read("alive.json")
    last = sign["updated"] if sign is not None and sign["job_id"] == record["job_id"] else record["stored"]
    if sign is not None and sign["job_id"] == record["job_id"] and _is_dead_here(sign):
        return True
    return bool(time.time() - last > limit)


def _is_dead_here(sign: Mapping[str, Any]) -> bool:
    """Whether the process that gave the sign ran on this machine and is gone."""
    if sign["host"] != socket.gethostname():
        return False
    try:
        os.kill(int(sign["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _arguments(lake: Lake, job: Job, job_id: str) -> list[str]:
    storage = lake.storage
    return [storage.root, storage.s3_endpoint or "-", job.round, job.stage, str(job.fingerprint), job_id]


def _start_process(config: Config, job_id: str, arguments: list[str]) -> Callable[[], bool]:
    """Start it in a session of its own, so that it outlives a crash of this process."""
    command = [*(config.launch.command or (sys.executable,)), *_MODULE, *arguments]
    environment = os.environ | config.launch.environment
    try:
        process = subprocess.Popen(command, start_new_session=True, env=environment, stdout=sys.stderr.fileno())
    except OSError as error:
        raise InputError(f"launch.command: {command[0]} cannot be started ({error}).") from error
    return lambda: process.poll() is not None


def pod_job(config: Config, job_id: str, arguments: list[str]) -> dict[str, Any]:
    """The manifest of the Kubernetes job. It is never restarted by the cluster: what is done next is decided here."""
    launch = config.launch
    if not launch.image:
        raise InputError("launch.image: a Kubernetes job needs an image with arena_etl[train] in it.")
    container = {
        "name": "training",
        "image": launch.image,
        "command": [*(launch.command or ("python",)), *_MODULE, *arguments],
        "env": [{"name": name, "value": value} for name, value in sorted(launch.environment.items())],
    }
    extra = dict(launch.pod)
    container |= extra.pop("container", {})
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"arena-etl-{job_id}", "labels": {"app": "arena-etl"}},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": 86400,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container], **extra}},
        },
    }


def _start_pod(config: Config, job_id: str, arguments: list[str]) -> Callable[[], bool]:
    try:
        from kubernetes import client
        from kubernetes import config as access
    except ImportError as error:
        raise InputError("launch.where is kubernetes: install arena_etl[kubernetes].") from error
    try:
        access.load_incluster_config()
    except access.ConfigException:
        access.load_kube_config()
    jobs, namespace, name = client.BatchV1Api(), config.launch.namespace, f"arena-etl-{job_id}"
    jobs.create_namespaced_job(namespace, pod_job(config, job_id, arguments))

    def ended() -> bool:
        status = jobs.read_namespaced_job_status(name, namespace).status
        return bool(status.failed or status.succeeded)

    return ended
