"""What of the dependency audit needs no network: every package is pinned, installed as pinned, and says its licence."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = [
        line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and not line.startswith("#")
    ]
    pinned = [re.fullmatch(r"([A-Za-z0-9._-]+)==([^\s;]+)", line) for line in lines]
    assert all(pinned), [line for line, pin in zip(lines, pinned, strict=True) if not pin]
    return {normal(pin[1]): pin[2] for pin in pinned if pin}


def test_every_package_is_pinned_installed_as_pinned_and_licensed() -> None:
    pinned = pins()
    assert len(pinned) > 200
    found = {name: importlib.metadata.distribution(name) for name in pinned}
    other = {
        n: d.version for n, d in found.items() if d.version.partition("+")[0] != pinned[n]
    }  # +cpu: a build of torch
    assert other == {}
    classified = {
        n: [c for c in d.metadata.get_all("Classifier", []) if c.startswith("License")] for n, d in found.items()
    }
    named = ("License-Expression", "License", "License-File")
    assert [n for n, d in found.items() if not any(d.metadata.get(k) for k in named) and not classified[n]] == []


def test_every_dependency_that_is_asked_for_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    own = re.compile(r"arena-etl\[([\w,]+)\]")
    wanted, left = set(project["dependencies"]), ["all", "dev"]
    while left:
        for requirement in extras[left.pop()]:
            if named := own.fullmatch(requirement):
                left += named[1].split(",")
            else:
                wanted.add(requirement)
    names = {normal(re.match(r"[A-Za-z0-9._-]+", requirement)[0]) for requirement in wanted}  # type: ignore[index]
    assert len(names) > 30
    assert names - pins().keys() == set()
