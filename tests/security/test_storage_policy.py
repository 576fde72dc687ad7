"""The roles in infra/terraform against the requests that the code really makes, recorded by a proxy before the store."""

import time
from pathlib import Path
from typing import Any

import pytest

from arena_etl import config as configuration
from arena_etl.lake.delta import Lake
from arena_etl.training import job
from tests.faults.s3_proxy import serve
from tests.security.conftest import PREFIX
from tests.security.policy import Need, allows, grants, refused, wanted

pytestmark = pytest.mark.timeout(2400)


def test_roles_differ_in_what_they_may_write() -> None:
    responses, weights = f"{PREFIX}/responses/x.parquet", f"{PREFIX}/checkpoints/x/model.safetensors"
    may = {
        (role, place): allows(grants(role, PREFIX), Need("s3:PutObject", place))
        for role in ("writer", "trainer", "reader")
        for place in (responses, weights)
    }
    assert may == {
        ("writer", responses): True,
        ("writer", weights): True,
        ("trainer", responses): False,
        ("trainer", weights): True,
        ("reader", responses): False,
        ("reader", weights): False,
    }
    assert not allows(grants("writer", PREFIX), Need("s3:PutObject", "elsewhere/x"))
    assert not allows(grants("writer", PREFIX), Need("s3:ListBucket", None)), (
        "the bucket as a whole is nobody's business"
    )


@pytest.mark.soak
def test_a_training_needs_no_more_than_the_trainer_may_do(
    s3_settings: dict[str, Any], tmp_path: Path, tiny_model: Path
) -> None:
    """What runs in the pod: from the recorded job to the weights, with checkpoints to resume from on the way."""
    from tests.tiny_round import settings
    from tests.training.test_job import KEYS, job_of, selected

    with serve(s3_settings["s3_endpoint"]) as proxy:
        proxy.does()
        place = {"root": s3_settings["root"], "s3_endpoint": proxy.url}
        config = configuration.load(flags={**settings(tmp_path, tiny_model), **place, "launch": {"save_steps": 1}})
        lake = Lake.open(config)
        selected(lake)
        work = job_of(config, lake)
        record = {"job_id": "pod", "config": config.model_dump(mode="json"), "stored": time.time()}
        job.Folder(lake, work).write("job.json", record)
        proxy.does()
        assert job.main([config.root, proxy.url, *KEYS, str(work.fingerprint), "pod"]) == 0
        requests = proxy.log()
        outcome = job.Folder(lake, work).outcome()
    assert outcome is not None and outcome["status"] == "trained"
    assert refused(grants("trainer", PREFIX), requests) == []
    used = {need.action for need in wanted(requests)}
    assert used == {"s3:GetObject", "s3:ListBucket", "s3:PutObject", "s3:DeleteObject"}
