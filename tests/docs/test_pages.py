"""What the pages tell people to type works: every block of README.md and docs/ is run, or checked where it cannot be."""

import json
from pathlib import Path
from typing import Any

import pytest

from arena_etl import config as configuration
from arena_etl.lake.delta import Lake
from arena_etl.lake.query import Session
from tests.docs.blocks import PAGES, ROOT, Block, blocks, spoken
from tests.docs.commands import check, lines, run

LONG = [page for page in PAGES if "<!-- slow -->" in (ROOT / page).read_text(encoding="utf-8")]


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.slow) if page.startswith("docs/tutorials/") else page for page in PAGES],
)
def test_what_a_page_says_works(page: str, folder: Path, request: pytest.FixtureRequest) -> None:
    if page == "docs/tutorials/s3.md":
        request.getfixturevalue("bucket")
    _follow(blocks(page), folder, slow=False)


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_text_of_a_page_exist(page: str) -> None:
    for command in spoken(page):
        check(command, whole=False)


@pytest.mark.soak
@pytest.mark.parametrize("page", LONG)
def test_what_takes_long_works_too(page: str, folder: Path) -> None:
    _follow(blocks(page), folder, slow=True)


def _follow(page: list[Block], folder: Path, slow: bool) -> None:
    """Do what the blocks say, in their order, as a reader would who has this folder before them."""
    namespace: dict[str, Any] = {}
    for block in page:
        runs = not block.absent and (slow or not block.slow)
        try:
            if "file" in block.notes:
                _write(folder / block.notes["file"], block)
            if block.language == "bash":
                _shell(block, folder, runs)
            elif block.language == "python":
                program = compile(block.text, block.place, "exec")
                if runs and "file" not in block.notes:
                    exec(program, namespace)
            elif block.language == "sql" and runs and "file" not in block.notes:
                _ask(block.text)
            elif block.language == "yaml" and "no settings" not in block.notes:
                _load(folder, block)
            elif "into" in block.notes:
                _add(folder / block.notes["into"], block)
            elif block.language == "json":
                _read(block.text)
        except Exception as error:
            error.add_note(f"{block.place}\n{block.text}")
            raise


def _write(file: Path, block: Block) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(block.text, encoding="utf-8")


def _read(text: str) -> None:
    """One JSON document, or one a line."""
    try:
        json.loads(text)
    except json.JSONDecodeError:
        for line in text.splitlines():
            json.loads(line)


def _add(suite: Path, block: Block) -> None:
    document = json.loads(suite.read_text(encoding="utf-8"))
    document["expectations"].append(json.loads(block.text))
    suite.write_text(json.dumps(document), encoding="utf-8")


def _shell(block: Block, folder: Path, runs: bool) -> None:
    wanted = int(block.notes.get("exit code", 0))
    for line in lines(block.text):
        if not runs:
            check(line)
            continue
        done = run(line, folder)
        assert done.code == wanted, f"{line}\nended with {done.code}, not {wanted}:\n{done.output}"


def _ask(query: str) -> None:
    config = configuration.load()
    with Session(Lake.open(config, create=False), config.query) as session, session.ask(query) as rows:
        assert rows.batches is not None


def _load(folder: Path, block: Block) -> None:
    file = folder / "block.yaml"
    file.write_text(block.text, encoding="utf-8")
    configuration.load(file)
