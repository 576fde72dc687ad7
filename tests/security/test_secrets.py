"""A secret in a setting is refused: settings are stored with every release."""

from pathlib import Path
from typing import Any

import pytest

from arena_etl import config as configuration
from arena_etl.errors import InputError
from tests.security.conftest import SECRETS, leaks


@pytest.mark.parametrize(
    "settings",
    [
        {"root": f"s3://key:{SECRETS['CONNECTION']}@bucket/lake"},
        {"s3_endpoint": f"http://user:{SECRETS['CONNECTION']}@store"},
        {"sources": [{"name": "s", "path": f"https://host/rows.jsonl?token={SECRETS['CONNECTION']}"}]},
        {"judge": {"extra_body": {"api_key": SECRETS["CONNECTION"]}}},
        {"launch": {"environment": {"HF_TOKEN": SECRETS["CONNECTION"]}}},
    ],
    ids=["root", "endpoint", "source", "engine", "training"],
)
def test_a_secret_in_a_setting_is_refused_and_not_repeated(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="credentials do not belong") as refused:
        configuration.load(flags={"root": str(tmp_path), **settings})
    assert leaks(str(refused.value)) == []
