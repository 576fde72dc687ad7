"""The policy in infra/terraform, and what a request to S3 needs: AWS's action, and the object or the prefix it is about."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

MAIN = Path(__file__).parents[2] / "infra" / "terraform" / "main.tf"
ROLE = re.compile(r'(\w+) = \{\s*account = "[\w-]+"\s*write\s*= \[([^\]]*)\]')
STATEMENT = re.compile(r'sid\s+= "(\w+)"\s+actions\s+= \[([^\]]*)\]')


@dataclass(frozen=True)
class Need:
    """``action`` on ``place``: a key in the bucket, or for s3:ListBucket the prefix that is listed (None: no prefix)."""

    action: str
    place: str | None


def grants(role: str, prefix: str) -> dict[str, list[str]]:
    """What a role may do, as patterns of places by action, where the lake lies under ``prefix``."""
    text = MAIN.read_text(encoding="utf-8").replace("${local.objects}", "${var.prefix}")
    [written] = [places for name, places in ROLE.findall(text) if name == role]
    places = {
        "List": _strings(re.search(r"variable = \"s3:prefix\"\s+values\s+= \[([^\]]*)\]", text)[1]),  # type: ignore[index]
        "Read": ["${var.prefix}/*"],
        "Write": _strings(written),
    }
    return {
        action: [place.replace("${var.prefix}", prefix) for place in places[sid]]
        for sid, actions in STATEMENT.findall(text)
        for action in _strings(actions)
        if places[sid]
    }


def allows(granted: dict[str, list[str]], need: Need) -> bool:
    patterns = granted.get(need.action, [])
    return need.place is not None and any(fnmatchcase(need.place, pattern) for pattern in patterns)


def needs(request: dict[str, Any]) -> list[Need]:
    """What a request of the proxy's log needs."""
    parts = urlsplit(request["path"])
    _, _, key = unquote(parts.path).lstrip("/").partition("/")
    query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    method = request["method"]
    if not key:
        if method == "POST" and "delete" in query:
            return [Need("s3:DeleteObject", deleted) for deleted in request["deleted"]]
        bucket = {"HEAD": "s3:ListBucket", "PUT": "s3:CreateBucket", "DELETE": "s3:DeleteBucket"}
        action = "s3:GetBucketLocation" if "location" in query else bucket.get(method, "s3:ListBucket")
        return [Need(action, query.get("prefix"))]
    if method == "DELETE":
        return [Need("s3:AbortMultipartUpload" if "uploadId" in query else "s3:DeleteObject", key)]
    return [Need("s3:GetObject" if method in ("GET", "HEAD") else "s3:PutObject", key)]


def wanted(requests: list[dict[str, Any]]) -> set[Need]:
    """What all requests of the proxy's log need."""
    return {need for request in requests for need in needs(request)}


def refused(granted: dict[str, list[str]], requests: list[dict[str, Any]]) -> list[Need]:
    """What the requests need and is not granted."""
    return sorted((need for need in wanted(requests) if not allows(granted, need)), key=str)


def _strings(text: str) -> list[str]:
    return [quoted or f"${{{name}}}" for quoted, name in re.findall(r'"([^"]+)"|(var\.\w+)', text)]
