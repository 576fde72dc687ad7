"""The code blocks of a Markdown page, and the notes that say what a test does with each.

Every block is fenced and names its language: bash, sql, python, yaml, json; text is output and is only shown. A note is
an HTML comment right before the block; readers do not see it.

``<!-- file: NAME -->``       the block is the contents of that file
``<!-- into: NAME -->``       the block is one more expectation of that suite
``<!-- not run: WHY -->``     it needs what a test has not (a bucket, a GPU, a week): its arguments are checked, nothing runs
``<!-- slow -->``             run by ``make test-soak``, else checked like one that is not run
``<!-- exit code: N -->``     how the block's command ends
``<!-- no settings: WHY -->`` YAML of somebody else
"""

import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(file.relative_to(ROOT).as_posix() for file in (ROOT / "docs").rglob("*.md"))]
LANGUAGES = ("bash", "sql", "python", "yaml", "json", "text")
NOTES = ("file", "into", "not run", "slow", "exit code", "no settings")


@dataclass(frozen=True)
class Block:
    place: str
    language: str
    text: str
    notes: dict[str, str]

    @property
    def slow(self) -> bool:
        return "slow" in self.notes

    @property
    def absent(self) -> bool:
        """It needs what a test has not."""
        return "not run" in self.notes


def spoken(page: str) -> list[str]:
    """The commands that the text of a page mentions: inline code that begins with `arena-etl` and a verb."""
    tokens = MarkdownIt("commonmark").enable("table").parse((ROOT / page).read_text(encoding="utf-8"))
    inline = [child for token in tokens for child in token.children or [] if child.type == "code_inline"]
    return [child.content for child in inline if child.content.startswith("arena-etl ")]


def blocks(page: str) -> list[Block]:
    """The blocks of a page in their order. Raises AssertionError for one that breaks the rules above."""
    found = []
    notes: dict[str, str] = {}
    for token in MarkdownIt("commonmark").parse((ROOT / page).read_text(encoding="utf-8")):
        place = f"{page}:{token.map[0] + 1}" if token.map else page
        assert token.type != "code_block", f"{place}: an indented block: fence it and name its language"
        if token.type == "html_block":
            comments = [
                comment.partition(":") for comment in re.findall(r"<!--\s*(.*?)\s*-->", token.content, re.DOTALL)
            ]
            notes |= {name: value.strip() for name, _, value in comments}
            assert notes.keys() <= set(NOTES), f"{place}: unknown note among {sorted(notes)}: use {NOTES}"
        elif token.type == "fence":
            language = token.info.strip()
            assert language in LANGUAGES, f"{place}: language {language!r}: use one of {LANGUAGES}"
            assert all(notes[name] for name in notes if name != "slow"), f"{place}: a note without its reason or value"
            found.append(Block(place, language, token.content, notes))
            notes = {}
        else:
            assert not notes, f"{place}: the note {notes} belongs right before a block"
    assert not notes, f"{page}: the note {notes} belongs right before a block"
    return found
