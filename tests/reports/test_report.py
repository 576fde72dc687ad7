"""The page of a round, from hand-made rows: what it says, what it escapes, and what it says when there is nothing."""

import re
from collections import Counter
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from arena_etl.config import Config, Contestant
from arena_etl.errors import InputError
from arena_etl.lake.delta import Lake, Partition
from arena_etl.lake.releases import release
from arena_etl.lake.tables import TABLES
from arena_etl.reports import charts
from arena_etl.reports.report import write
from tests.quality.rows import BUILDERS, NOW, A, B, Row, identity, table_of

ROUND = "2026-01-01"
HOSTILE = "<script>alert('x')</script>"
ARABIC = "ما هي عاصمة مصر؟"
LONG = "x" * 50_000
OUR_SCRIPTS = 2  # the data of the charts, and what draws them

Tables = dict[str, list[Row]]


class Page(HTMLParser):
    """The visible text, the tags, and every attribute of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html, self.text, self.tags = html, "", Counter[str]()
        self.attributes: list[tuple[str, str, str]] = []
        self.code = False
        self.feed(html)
        self.text = " ".join(self.text.split()).replace("\N{EN DASH}", "-")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.code = tag in ("script", "style")
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        self.code = False

    def handle_data(self, data: str) -> None:
        if not self.code:
            self.text += f" {data}"

    def section(self, name: str) -> str:
        """The visible text of one section."""
        [html] = re.findall(rf'<section id="{name}">(.*?)</section>', self.html, re.S)
        return Page(html).text


def commit(lake: Lake, tables: Tables) -> None:
    for number, (name, rows) in enumerate(tables.items(), 1):
        columns = TABLES[name].partition_by
        for values in sorted({tuple(row[column] for column in columns) for row in rows}):
            part = [row for row in rows if tuple(row[column] for column in columns) == values]
            lake.commit(Partition(name, values), table_of(name, part), number, {})


def full_round() -> Tables:
    """A round with an SFT stage that promotes its candidate and a DPO stage that selects nothing."""
    tables = {name: build() for name, build in BUILDERS.items()}
    tables["promotions"][1]["champion"] = tables["training_runs"][1]["parent"] = B
    tables["slices"] = [{"round": ROUND, "stage": s, "instruction_id": identity(1 + n), "position": 0}
                        for n, s in enumerate(("sft", "dpo"))]  # fmt: skip
    tables["training_sets"] = [
        {**tables["training_sets"][0], "prompt": [{"role": "user", "content": f"{HOSTILE} {ARABIC}"}], "chosen": LONG}
    ]
    tables["responses"][0]["text"] = "the loser's words"
    tables["verdicts"][0]["explanation"] = f"because {HOSTILE}"
    tables["models"][1]["name"] = HOSTILE
    tables["training_runs"][0]["curve"] = [
        {"step": step, "loss": 2.0 / step, "learning_rate": 1e-5, "grad_norm": 1.0} for step in (1, 2, 3)
    ]
    tables["ratings"].append({**tables["ratings"][1], "model": B, "rating": 1234.4, "lower": None, "upper": None})
    problem = {"audit_id": "verdicts/1", "round": ROUND, "stage": "sft", "arena": "training", "table": "verdicts",
               "expectation": "scores:between", "severity": "critical", "outcome": "fail", "observed": HOSTILE,
               "limit": "{}", "failed_rows": 3, "rows": 6, "suite_hash": "h", "owner": "judges",
               "created_at": NOW}  # fmt: skip
    broken = {"expectation": "other", "severity": "warning", "outcome": "broken", "failed_rows": None}
    tables["quality_results"] = [problem, {**problem, **broken}]
    return tables


def configure(folder: Path) -> Config:
    return Config(root=str(folder / "lake"), target=Contestant(name="alpha", checkpoint="package:x"))


def page(config: Config, lake: Lake, as_of: str | None = None) -> Page:
    return Page(Path(write(config, lake, ROUND, as_of)).read_text(encoding="utf-8"))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return configure(tmp_path)


@pytest.fixture
def lake(config: Config) -> Lake:
    return Lake.open(config)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of the full round, released."""
    config = configure(tmp_path_factory.mktemp("published"))
    lake = Lake.open(config)
    commit(lake, full_round())
    release(lake, config, ROUND, "tester", "nightly")
    return page(config, lake)


def test_the_page_says_what_happened(found: Page) -> None:
    assert "Round 2026-01-01" in found.text
    assert "Release 1, published" in found.text and "by tester: nightly" in found.text
    assert "3 battles were fought, 3 on fresh training instructions and 0 on the test set; in 67%" in found.text
    assert "SFT selected 1 example and DPO 0." in found.text
    assert "was promoted (+10.0 rating points, interval +1.0 to +20.0)" in found.text
    assert f"after DPO there was no candidate (r); the champion is new: {HOSTILE}." in found.text


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("leaderboard", ["95% interval", "1 alpha target 1,001 990 to 1,100 2", "champion candidate 1,234 - 2"]),
        (
            "history",
            ["2026-01-01 alpha target at first 1,001 990 to 1,100 1,001", "promoted 1,234 - 1,234", "no candidate"],
        ),
        ("win-rates", ["100% 2", "0% 2"]),
        ("promotions", ["Promoted : r.", "bootstrap, 20 common test instructions", "Kept : r.", "Candidate none"]),
        (
            "selection",
            [
                "Instructions drawn 1 1",
                "Battles 3 -",
                "Usable, of battles 2 67% -",
                "Examples selected 1 0",
                "of these 0 0% -",
                "of usable 2 100% -",
                "difference asked for, iteration 1 3.0 2.0",
            ],
        ),
        ("examples", ["won by 3.0 points", "the loser's words", "48,800 more characters", "No example"]),
        ("training", ["2 examples, 1 steps of 8", "loss 2.000 at first", "Skipped: nothing was selected"]),
        ("categories", ["SFT training", "math 100% 2 of 3"]),
        ("judges", ["j-1 model 6 83% 2 100% 50% of 4"]),
        ("quality", ["verdicts 0 of 1 0 of 1 - 1 1", "scores:between critical fail", "other warning broken"]),
        ("effort", ["alpha answers 2 0 0 10 6 0.2 0.00", "j-1 verdicts 6 1 - 54 24 3.0 0.00", "Total 10 1 0 74 36"]),
        (
            "lineage",
            [
                f"SFT: {A} → {B}",
                f"DPO: {B} was not trained",
                "Release 1, built on nothing before",
                "battles 1",
                "2026-01-01 SFT 2 none yet, training_sets version 0 000000000000",
                "alpha not here",
            ],
        ),
    ],
)
def test_sections(found: Page, section: str, words: list[str]) -> None:
    text = found.section(section)
    assert [word for word in words if word not in text] == [], text
    assert "sql/" in text and "release 1" in text


def test_what_others_wrote_is_escaped_and_bounded(found: Page) -> None:
    assert found.tags["script"] == OUR_SCRIPTS
    assert "&lt;script&gt;" in found.html and "<script>alert" not in found.html
    assert ARABIC in found.text
    assert ("p", "dir", "auto") in found.attributes
    assert len(found.html) < len(charts.script()[0]) + 100_000


def test_the_cards_of_the_judges_stand_beside_the_leaderboard(config: Config, lake: Lake) -> None:
    tables = full_round()
    for number, judge in enumerate(("j-1", "bare-judge")):
        verdict = {**tables["verdicts"][0], "arena": "wizard_arena", "judge_id": judge}
        tables["verdicts"].append({**verdict, "instruction_id": identity(50 + number)})
    tables["judge_cards"][1]["category"] = HOSTILE
    commit(lake, tables)
    found = page(config, lake, "head")
    text = found.section("judges")
    assert "j-1 pairs 70% of 20 50% to 90% 0.40 60% 80% 55% 60% people 50% 100% 0.00" in text
    assert "bare-judge No card : how far this judge agrees with people is not known" in text
    assert "j-1 on pairs , by category" in text and f"{HOSTILE} 70% of 20" in text
    assert found.tags["script"] == OUR_SCRIPTS
    assert "sql/reports/judge_cards.sql" in text


def test_the_page_needs_nothing_from_elsewhere(found: Page) -> None:
    assert not {"link", "iframe", "img", "object", "embed"} & set(found.tags)
    assert "default-src 'none'" in found.html
    references = [
        value for _, name, value in found.attributes if name in ("src", "href", "xlink:href", "action", "srcset")
    ]
    assert references and all(reference.startswith("#") for reference in references)
    page_without_library = found.html.replace(charts.script()[0], "")
    assert not re.search(r"@import|url\((?!#)|https?://", page_without_library)
    assert {"prefers-color-scheme", "viewport"} <= set(re.findall(r"prefers-color-scheme|viewport", found.html))


def test_ids_are_unique_and_references_resolve(found: Page) -> None:
    ids = [value for _, name, value in found.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(|href=")#([^")]+)', found.html)) <= set(ids)


def test_the_same_release_gives_the_same_bytes(config: Config, lake: Lake) -> None:
    commit(lake, full_round())
    release(lake, config, ROUND, "tester", "nightly")
    first = page(config, lake)
    folder = Path(lake.storage.uri("reports", ROUND))
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    commit(lake, {"responses": [{**row, "arena": "wizard_arena"} for row in full_round()["responses"]]})
    release(lake, config, ROUND, "tester", "later")
    assert page(config, lake, as_of="1").html == first.html
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert set(before) == {"index.html", "leaderboard.svg", "leaderboard.png"}
    assert "Release 2" in page(config, lake).text


def test_nothing_there(config: Config, lake: Lake) -> None:
    found = page(config, lake, as_of="head")
    assert "Unreleased" in found.text and "No stage of this round has begun" in found.text
    for section in ("leaderboard", "win-rates"):
        assert "This round has no" in found.section(section)
    assert "Nothing has been judged." in found.section("judges")
    with pytest.raises(InputError, match="no release yet"):
        page(config, lake, as_of="1")


def test_a_round_that_no_release_has_come_to_is_shown_as_it_is(config: Config, lake: Lake) -> None:
    commit(lake, full_round())
    assert "Unreleased" in page(config, lake).text
    release(lake, config, ROUND, "tester", "nightly")
    later = {**full_round()["slices"][0], "round": "2026-01-02", "instruction_id": identity(9)}
    commit(lake, {"slices": [later]})
    assert "Release 1, published" in page(config, lake).text
    assert "Unreleased" in Path(write(config, lake, "2026-01-02")).read_text()


def test_a_gate_that_stopped_the_round_is_said_first(config: Config, lake: Lake) -> None:
    tables = full_round()
    stopped = {
        **tables["quality_results"][0],
        "batch": "verdicts/2026-01-01/sft/training",
        "runbook": "runbook.md#verdicts",
    }
    reached = ("instructions", "slices", "responses")
    commit(lake, {"quality_results": [stopped], **{name: tables[name] for name in reached}})
    found = page(config, lake)
    assert "Stopped by a quality gate. Nothing of these batches was published" in found.text
    assert f"verdicts/2026-01-01/sft/training : scores:between , observed {HOSTILE} , limit {{}}" in found.text
    assert "No battle has been fought yet." in found.text
    passed = {**stopped, "outcome": "pass", "audit_id": "verdicts/2", "created_at": NOW + timedelta(1)}
    lake.commit(Partition("quality_results", ("verdicts",)), table_of("quality_results", [passed]), 2, {})
    assert "Stopped by a quality gate" not in page(config, lake).text


def test_pages_of_great_expectations_are_linked(config: Config, lake: Lake) -> None:
    commit(lake, full_round())
    for name in ("verdicts-sft-training", "ratings"):
        lake.storage.put(lake.storage.uri("reports", ROUND, "quality", f"{name}.html"), b"<p>")
    found = page(config, lake)
    assert ("a", "href", "quality/verdicts-sft-training.html") in found.attributes
    assert ("a", "href", "quality/ratings.html") not in found.attributes  # no outcome of ratings is on the page


def test_stopped_after_the_battles(config: Config, lake: Lake) -> None:
    reached = ("instructions", "slices", "responses", "verdicts", "battles")
    tables = full_round()
    commit(lake, {name: tables[name] for name in reached})
    found = page(config, lake, as_of="head")
    assert "SFT has not selected yet and DPO has not selected yet." in found.text
    assert f"No promotion has been decided yet; the champion is still {config.target.contestant_id}." in found.text
    assert "Examples selected - -" in found.section("selection")
    assert "Nothing has been trained." in found.section("training")
    assert "No model came out of this round." in found.section("lineage")


def test_no_candidate_keeps_the_champion(config: Config, lake: Lake) -> None:
    tables = full_round()
    skipped = {**tables["promotions"][1], "stage": "sft", "champion": A, "reason": "nothing was selected"}
    commit(lake, {"slices": tables["slices"][:1], "models": tables["models"], "promotions": [skipped]})
    found = page(config, lake, as_of="head")
    assert "After SFT there was no candidate (nothing was selected); the champion is still alpha." in found.text


def test_models_of_one_name_go_by_their_ids(config: Config, lake: Lake) -> None:
    models = full_round()["models"]
    models[1]["name"] = models[0]["name"]
    commit(lake, {"ratings": full_round()["ratings"], "models": models})
    text = page(config, lake, as_of="head").section("leaderboard")
    assert A in text and B in text


def test_pictures_are_deterministic_and_survive_any_name() -> None:
    rows = [
        {"model": name, "name": name, "rating": 1000.0, "lower": None, "upper": None, "n": 1}
        for name in ("$x$", "\x00\u202ea", "<b>&", LONG)
    ]
    picture = charts.image(charts.rating_forest(rows), "svg")
    assert picture == charts.image(charts.rating_forest(rows), "svg")
    assert b"&lt;b" in picture and b"<b>" not in picture and b"$x$" in picture and b"\x00" not in picture
    assert len(picture) < 40_000
    assert charts.image(charts.rating_forest(rows), "png").startswith(b"\x89PNG")
    assert charts.image(charts.rating_forest([]), "svg").startswith(b"<svg")
