"""The gate: every suite passes its minimal rows, catches crafted bad ones, and holds back what it says it holds."""

import json
import random
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pytest

from arena_etl import resources
from arena_etl.config import Contestant
from arena_etl.errors import InputError
from arena_etl.lake import sql
from arena_etl.lake.tables import TABLES
from arena_etl.quality.gate import DEVIATION, Audit, audit, load
from tests.quality import rows as make
from tests.sql.harness import empty_lake
from tests.sql.test_cases import PARAMETERS as PARAMETERS_OF_SQL

PARAMETERS = {
    "min_parse_rate": 0.5,
    "max_error_rate": 0.02,
    "judges_without_warning": ["j-1"],
    "judges_without_stop": ["j-1"],
}


def gate(name: str, batch: pa.Table, share: float = 1.0, **parameters: Any) -> tuple[Audit, pa.Table]:
    return audit(TABLES[name], batch, {**PARAMETERS, **parameters}, share)


def broken_rows(name: str, *changes: make.Row) -> pa.Table:
    """The valid rows and, per change, a copy of the first one with it: the copies share a grain unless changed."""
    valid = make.BUILDERS[name]()
    return make.table_of(name, [*valid, *({**valid[0], **change} for change in changes)])


def failed(result: Audit) -> dict[str, str]:
    """Short name (``type`` without its lead words) to severity of everything that did not pass."""
    return {
        o.expectation.removeprefix("expect_").removeprefix("column_").removeprefix("values_to_"): o.severity
        for o in result.outcomes
        if o.outcome != "pass"
    }


def keys(result: Audit, expectation: str) -> list[Any]:
    return [json.loads(held.key) for held in result.held if held.expectation.endswith(expectation)]


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write a suite of slices with these expectations in place of the shipped one."""
    monkeypatch.setattr(resources, "EXPECTATIONS", tmp_path)

    def write(*expectations: dict[str, Any], **document: Any) -> None:
        base = {"name": "slices", "meta": {"owner": "judging", "runbook": "docs/runbook.md"}}
        text = json.dumps({**base, "expectations": expectations, **document})
        (tmp_path / "slices.json").write_text(text, encoding="utf-8")

    return write


POSITION = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "position", "max_value": 1},
    "severity": "warning",
}
HOLD = {"quarantine": True, "reason": "position above 1"}


def test_every_suite_has_rows_here_and_the_other_way_round() -> None:
    assert {file.stem for file in resources.EXPECTATIONS.glob("*.json")} == set(make.BUILDERS)


@pytest.mark.parametrize("name", make.BUILDERS)
def test_suite_loads_and_reads_declared_columns_only(name: str) -> None:
    suite = load(TABLES[name])
    rows, figures = ({c for r in suite.rules if r.measure is m for c in r.reads} for m in (False, True))
    assert rows <= set(TABLES[name].column_names)
    measured = sql.run(empty_lake(), f"quality/{name}", **PARAMETERS_OF_SQL).columns if figures else []
    assert {column.removesuffix(DEVIATION) for column in figures} <= set(measured)
    assert {rule.owner for rule in suite.rules} <= {"data-platform", "judging", "post-training"}
    assert all(rule.runbook.startswith("docs/runbook.md#") for rule in suite.rules)


@pytest.mark.parametrize("name", make.BUILDERS)
def test_clean_batch_passes(name: str) -> None:
    batch = make.batch(name)
    result, rest = gate(name, batch, share=0.0)
    assert failed(result) == {}
    assert not result.stopped and not result.held
    assert rest.equals(batch)
    assert (result.table, result.rows) == (name, batch.num_rows)


NAN = float("nan")
# Per table: changes that make bad rows, then exactly what must not pass (c: critical, w: warning).
BAD: dict[str, tuple[list[make.Row], str, str]] = {
    "raw_instructions": (
        [{"line": 0, "source_id": "9"}, {"file_sha256": "abc"}],
        "be_between(line) match_regex(file_sha256) compound_columns_to_be_unique(source, source_id)",
        "",
    ),
    "instructions": (
        [{"split": "test", "instruction_id": make.identity(8)}, {"instruction_id": "x"}, {}],
        "be_in_set(split) match_regex(instruction_id) be_unique(instruction_id)",
        "",
    ),
    "embeddings": (
        [{"instruction_id": "x"}, {"model": "encoder"}, {"vector": None, "instruction_id": make.identity(9)}, {}],
        "not_be_null(vector) match_regex(instruction_id) match_regex(model) "
        "compound_columns_to_be_unique(instruction_id, model)",
        "",
    ),
    "signatures": (
        [{"instruction_id": "x"}, {"scheme": None, "bands": None}, {}],
        "match_regex(instruction_id) not_be_null(scheme) not_be_null(bands) "
        "compound_columns_to_be_unique(instruction_id, scheme)",
        "",
    ),
    "near_duplicates": (
        [
            {"instruction_id": "x", "kept_id": "y"},
            {"instruction_id": make.identity(5), "jaccard": 0.0},
            {"jaccard": 1.1},
        ],
        "match_regex(instruction_id) match_regex(kept_id) be_between(jaccard) be_unique(instruction_id)",
        "",
    ),
    "contamination": (
        [
            {"instruction_id": "x", "test_id": "y", "method": "smell"},
            {"overlap": 0, "similarity": 1.5, "benchmark": None},
            {},
        ],
        "match_regex(instruction_id) match_regex(test_id) be_in_set(method) be_between(overlap) be_between(similarity) "
        "not_be_null(benchmark) compound_columns_to_be_unique(instruction_id, test_id, method)",
        "",
    ),
    "centroids": (
        [{"cluster": -1, "clustering": "two"}, {"cluster": 2, "instructions": 0}, {}],
        "match_regex(clustering) be_between(cluster) compound_columns_to_be_unique(model, cluster)",
        "be_between(instructions)",
    ),
    "features": (
        [
            {"instruction_id": "x", "cluster": -1, "similarity": 1.5, "difficulty": 10.5, "category": "gossip"},
            {"error": "not JSON: Well,"},
        ],
        "match_regex(instruction_id) be_between(cluster) be_between(similarity) be_between(difficulty) "
        "be_in_set(category) compound_columns_to_be_unique(instruction_id, describer)",
        "be_null(error)",
    ),
    "wizard_arena": (
        [
            {"instruction_id": "x", "set": "mix", "rank": 0},
            {"instruction_id": make.identity(5), "difficulty": None},
            {"rank": 3},
        ],
        "match_regex(instruction_id) be_in_set(set) be_between(rank) not_be_null(difficulty)/hard "
        "compound_columns_to_be_unique(version, set, rank) compound_columns_to_be_unique(version, instruction_id)",
        "",
    ),
    "slices": (
        [
            {"instruction_id": "b", "position": -1},
            {"instruction_id": "c", "position": 0, "stage": "sft"},
            {"stage": "rl"},
        ],
        "be_in_set(stage) be_between(position) compound_columns_to_be_unique(round, stage, position)",
        "",
    ),
    "plans": (
        [
            {"name": "b", "kind": "x", "basis": "x", "round": "x"},
            {"name": "c", "calls": -1, "tokens_in": -1, "tokens_out": -1, "cost_usd": -1.0},
        ],
        "match_regex(round) be_in_set(kind) be_in_set(basis) be_between(calls) be_between(tokens_in) be_between(tokens_out) "
        "be_between(cost_usd)",
        "",
    ),
    "models": (
        [
            {"contestant_id": "c-00000003", "role": "king", "backend": "abacus"},
            {"contestant_id": "d", "sampling": "{", "role": "candidate", "parent": None, "round": "1 May"},
        ],
        "match_regex(round) be_in_set(role) be_in_set(backend) match_regex(contestant_id) be_json_parseable(sampling) "
        "not_be_null(parent)/candidate",
        "",
    ),
    "responses": (
        [
            {"turn": 0, "tokens_in": -1, "tokens_out": -1, "latency_s": -0.1, "request": "no", "stage": "rl"},
            {"turn": 2, "text": None, "arena": "moon"},
            {"turn": 3, "error": "timeout", "finish_reason": "stop"},
            {"turn": 4, "finish_reason": "error", "round": ""},
            {"turn": 5, "finish_reason": "bored", "text": " "},
        ],
        "match_regex(round) be_in_set(stage) be_in_set(arena) proportion_of_non_null_values_to_be_between(error) "
        "be_in_set(finish_reason) be_in_set(finish_reason)/error be_in_set(finish_reason)/no-error "
        "not_be_null(text)/no-error be_null(text)/error be_between(turn) be_between(tokens_in) be_between(tokens_out) "
        "be_between(latency_s) be_json_parseable(request)",
        "match_regex(text)",
    ),
    "verdicts": (
        [
            {
                "turn": 2,
                "parse_status": "ok",
                "score_a": None,
                "score_b": None,
                "stage": "x",
                "arena": "x",
                "round": "x",
            },
            {"turn": 3, "parse_status": "no score", "judge_kind": "oracle", "shown_first": "both"},
            {"turn": 0, "tokens_in": -1, "tokens_out": -1, "cost_usd": -1.0, "parse_status": "cut"},
            {"turn": 4, "model_a": make.B, "model_b": make.A, "parse_status": "cut"},
            {"turn": 4, "model_a": make.B, "model_b": make.A, "parse_status": "cut"},
            {"turn": 5, "parse_status": "cut", "score_a": None},
            {"turn": 6, "parse_status": "cut"},
        ],
        "match_regex(round) be_in_set(stage) be_in_set(arena) be_in_set(parse_status)/parse-rate "
        "match_regex(parse_status) not_be_null(score_a)/ok be_null(score_a)/not-ok not_be_null(score_b)/ok "
        "be_null(score_b)/not-ok be_in_set(shown_first) be_in_set(judge_kind) "
        "pair_values_a_to_be_greater_than_b(model_b, model_a) be_between(turn) be_between(tokens_in) "
        "be_between(tokens_out) be_between(cost_usd) "
        "compound_columns_to_be_unique(instruction_id, turn, model_a, model_b, shown_first, judge_id)",
        "be_in_set(shown_first)/other-half",
    ),
    "battles": (
        [
            {"turn": 0, "round": "x", "stage": "x", "arena": "x", "battle_id": "x", "winner": "nobody"},
            {"turn": 2, "games": 21, "mean_a": 11.0, "mean_b": NAN, "margin": -1.0},
            {"turn": 3, "games": 1, "mean_a": None, "mean_b": None, "margin": None, "order_consistent": None},
            *({"turn": turn, "winner": "unusable"} for turn in range(4, 9)),
            {"turn": 9, "model_a": make.B, "model_b": make.A},
        ],
        "match_regex(round) be_in_set(stage) be_in_set(arena) match_regex(battle_id) be_in_set(winner) "
        "be_in_set(winner)/games be_between(games) be_in_set(games)/usable be_between(mean_a) be_between(mean_b) "
        "be_between(margin) "
        "not_be_null(mean_a)/usable not_be_null(mean_b)/usable not_be_null(margin)/usable "
        "not_be_null(order_consistent)/usable be_null(mean_a)/unusable be_null(mean_b)/unusable "
        "be_null(margin)/unusable be_null(order_consistent)/unusable "
        "pair_values_a_to_be_greater_than_b(model_b, model_a) be_between(turn)",
        "",
    ),
    "judge_cards": (
        [
            {
                **dict.fromkeys(("first_position_share", "longer_share", "people_longer_share", "agreement"), 2.0),
                **dict.fromkeys(("tokens_per_verdict", "cost_usd_per_1000", "order_consistency"), -1.0),
                "category": " ",
                "pairs": 0,
                "n": -1,
                "decided": 1,
                "lower": 1.0,
                "upper": 0.9,
                "kappa": -2.0,
                "decided_agreement": 2.0,
                "battle_agreement": NAN,
                "parse_rate": 0.4,
                "source": "rumour",
                "pairs_sha256": "x",
            },
            {"lower": -1.0, "upper": 1.5, "parse_rate": 1.5, "decided": -1},
        ],
        "match_regex(category) be_between(pairs) pair_values_a_to_be_greater_than_b(n, pairs) be_between(decided) "
        "pair_values_a_to_be_greater_than_b(n, decided) be_between(agreement) be_between(lower) be_between(upper) "
        "pair_values_a_to_be_greater_than_b(upper, lower) be_between(kappa) be_between(decided_agreement) "
        "be_between(battle_agreement) be_between(order_consistency) be_between(first_position_share) "
        "be_between(longer_share) be_between(people_longer_share) be_between(parse_rate) "
        "be_between(tokens_per_verdict) be_between(cost_usd_per_1000) be_in_set(source) match_regex(pairs_sha256) "
        "compound_columns_to_be_unique(judge_id, dataset, category)",
        "be_between(parse_rate)/parse-rate pair_values_a_to_be_greater_than_b(upper, agreement)",
    ),
    "ratings": (
        [
            {"model": "m1", "round": "x", "scope": "x", "method": "x", "rating": NAN, "rank": 0, "n": -1},
            {"model": "m2", "method": "bradley_terry", "rating": 900.0},
            {"model": "m3", "method": "bradley_terry", "converged": False, "log_strength": 0.0, "rating": 2000.0},
            {"model": "m4", "lower": 1200.0, "upper": 800.0},
        ],
        "match_regex(round) match_regex(scope) be_in_set(method) be_between(rating) "
        "not_be_null(log_strength)/bradley-terry not_be_null(converged)/bradley-terry be_in_set(converged) "
        "pair_values_a_to_be_greater_than_b(upper, lower) be_between(rank) be_between(n)",
        "pair_values_a_to_be_greater_than_b(rating, lower) pair_values_a_to_be_greater_than_b(upper, rating)",
    ),
    "win_rates": (
        [
            {
                "round": "x",
                "scope": "x",
                "method": "x",
                "n": 0,
                "wins": -1,
                "ties": -1,
                "losses": -1,
                "rate": 1.5,
                "lower": -0.5,
                "upper": 2.0,
            },
            {"model_a": "m1", "lower": 0.9, "upper": 0.8, "rate": 0.85},
            {"model_a": "m2", "model_b": "m2"},
        ],
        "match_regex(round) match_regex(scope) be_in_set(method) be_between(n) be_between(wins) be_between(ties) "
        "be_between(losses) be_between(rate) "
        "be_between(lower) be_between(upper) pair_values_a_to_be_greater_than_b(upper, lower) "
        "select_column_values_to_be_unique_within_record(model_a, model_b)",
        "pair_values_a_to_be_greater_than_b(rate, lower) pair_values_a_to_be_greater_than_b(upper, rate)",
    ),
    "training_sets": (
        [
            {"example_id": "x", "round": "x", "stage": "x", "chosen": "", "license": " ", "category": "x", "turn": 0},
            {"example_id": f"{3:032x}", "stage": "dpo", "chosen": "same", "rejected": "same", "margin": NAN},
            {"example_id": f"{4:032x}", "stage": "dpo", "chosen_model": make.A, "prompt": []},
            {"example_id": f"{5:032x}", "rejected": "none asked for", "battle_ids": []},
            {"example_id": f"{6:032x}", "chosen": None},
            {"example_id": f"{7:032x}", "stage": "rm"},
            {"example_id": f"{8:032x}", "stage": "ppo", "rejected": "no answer is asked for"},
        ],
        "match_regex(round) be_in_set(stage) match_regex(example_id) match_regex(chosen) match_regex(license) "
        "be_in_set(category) be_between(turn) select_column_values_to_be_unique_within_record(chosen, rejected) "
        "be_between(margin) not_be_null(rejected)/dpo be_null(rejected)/sft not_be_null(chosen)/answers "
        "not_be_null(rejected)/rm be_null(rejected)/ppo be_null(chosen)/ppo "
        "select_column_values_to_be_unique_within_record(chosen_model, rejected_model) "
        "match_regex(prompt) match_regex(battle_ids)",
        "",
    ),
    "training_runs": (
        [
            {"run_id": "a", "round": "x", "stage": "x", "status": "lost", "examples": -1, "seconds": -1.0},
            {"run_id": "b", "candidate": None, "checkpoint": None, "first_loss": None, "last_loss": None},
            {"run_id": "c", "first_loss": float("inf"), "last_loss": NAN, "steps": -1, "effective_batch_size": 0},
            {"run_id": "d", "last_loss": 2.5, "hyperparameters": "x", "versions": "x"},
            {"run_id": "e", "status": "skipped"},
            {"run_id": "f", "status": "stopped", "accuracy": 1.5},
        ],
        "match_regex(round) be_in_set(stage) be_in_set(status) be_between(examples) be_between(seconds) "
        "not_be_null(candidate)/trained not_be_null(checkpoint)/trained not_be_null(first_loss)/trained "
        "not_be_null(last_loss)/trained be_null(candidate)/skipped "
        "be_null(candidate)/stopped not_be_null(reason)/reasons be_between(accuracy) be_between(first_loss) "
        "be_between(last_loss) "
        "be_between(steps) be_between(steps)/trained be_between(effective_batch_size)/trained "
        "be_json_parseable(hyperparameters) be_json_parseable(versions)",
        "pair_values_a_to_be_greater_than_b(first_loss, last_loss)",
    ),
    "promotions": (
        [
            {"round": "x", "stage": "x", "decision": "later", "instructions": -1},
            {"round": "2026-01-02", "candidate": None, "difference": None, "lower": None},
            {"round": "2026-01-03", "lower": 30.0, "length_controlled": 1.5, "reason": " "},
        ],
        "match_regex(round) be_in_set(stage) be_in_set(decision) be_between(instructions) "
        "not_be_null(candidate)/promoted not_be_null(difference)/promoted not_be_null(lower)/promoted "
        "pair_values_a_to_be_greater_than_b(upper, lower) be_between(length_controlled) match_regex(reason)",
        "",
    ),
}


def split_names(names: str) -> set[str]:
    """Names are separated by spaces; those inside parentheses belong to the name."""
    return {name.replace(",", ", ") for name in names.replace(", ", ",").split()}


@pytest.mark.parametrize("name", make.BUILDERS)
def test_bad_batch_fails_what_it_breaks_and_nothing_else(name: str) -> None:
    changes, critical, warning = BAD[name]
    result, _ = gate(name, broken_rows(name, *changes))
    assert failed(result) == dict.fromkeys(split_names(critical), "critical") | dict.fromkeys(
        split_names(warning), "warning"
    )
    assert result.stopped


# Every rule that holds rows, and the values that break it.
HELD: dict[str, list[make.Row]] = {
    "raw_instructions": [{"license": ""}, {"license": None}, {"raw": "{oops"}],
    "instructions": [
        {"license": " "},
        {"category": "gossip"},
        {"category": None},
        {"language": "English"},
        {"turns": 0},
        {"difficulty": 10.5},
        {"conversation": []},
        {"checker": "["},
    ],
    "verdicts": [{"score_a": 11.0}, {"score_b": NAN}],
}


def test_every_rule_that_holds_rows_is_tried_here() -> None:
    rules = {
        (name, column)
        for name in make.BUILDERS
        for rule in load(TABLES[name]).rules
        if rule.quarantine
        for column in rule.columns
    }
    assert rules == {(name, column) for name, changes in HELD.items() for change in changes for column in change}


@pytest.mark.parametrize("name", HELD)
def test_rules_hold_exactly_the_rows_that_break_them(name: str) -> None:
    table, changes = TABLES[name], HELD[name]
    bad = [{**change, table.grain[0]: make.identity(100 + i)} for i, change in enumerate(changes)]
    batch = broken_rows(name, *bad)
    result, rest = gate(name, batch)

    assert rest.equals(make.batch(name))
    assert not result.stopped
    for change in bad:
        column = next(iter(change))
        held = next(h for h in result.held if json.loads(h.key)[table.grain[0]] == change[table.grain[0]])
        assert held.expectation.endswith(f"({column})")
        assert list(json.loads(held.key)) == sorted(table.grain)
        assert json.loads(held.row).keys() == set(table.column_names)
        assert held.reason
    assert len(result.held) == len(changes)
    reported = {o.expectation: o for o in result.outcomes if o.outcome == "fail"}
    assert set(reported) == {h.expectation for h in result.held}
    assert sum(o.failed_rows or 0 for o in reported.values()) == len(changes)
    assert {o.severity for o in reported.values()} == {"warning"}


def test_split_does_not_depend_on_the_order_of_the_rows() -> None:
    changes = [{**change, "instruction_id": make.identity(100 + i)} for i, change in enumerate(HELD["instructions"])]
    batch = broken_rows("instructions", *changes)
    order = list(range(batch.num_rows))
    random.Random(3).shuffle(order)
    first, rest = gate("instructions", batch)
    second, shuffled_rest = gate("instructions", batch.take(order))
    again, _ = gate("instructions", batch)
    assert first == again
    assert first.held == second.held
    assert rest.sort_by("instruction_id").equals(shuffled_rest.sort_by("instruction_id"))


def test_too_many_held_rows_stop_the_batch() -> None:
    batch = make.batch("instructions", {1: {"category": "gossip"}})
    assert not gate("instructions", batch, share=0.34)[0].stopped
    result, _ = gate("instructions", batch, share=0.33)
    assert failed(result) == {"be_in_set(category)": "warning", "quarantine_share": "critical"}
    assert result.stopped
    assert "instructions: quarantine_share failed" in result.reasons[0]


def test_a_row_that_breaks_two_rules_counts_once_for_the_share() -> None:
    batch = make.batch("instructions", {1: {"category": "gossip", "language": "?"}})
    result, rest = gate("instructions", batch, share=0.34)
    assert len(result.held) == 2 and rest.num_rows == 2
    assert not result.stopped


def test_other_checks_see_the_rows_that_are_left(suite: Any) -> None:
    count = {"type": "expect_table_row_count_to_equal", "kwargs": {"value": 2}, "severity": "critical"}
    suite({**POSITION, "meta": HOLD}, count)
    result, rest = gate("slices", make.batch("slices"))
    assert rest["position"].to_pylist() == [0, 1]
    assert keys(result, "(position)") == [
        {"instruction_id": make.identity(2), "round": "2026-01-01", "stage": "sft"},
    ]
    assert not result.stopped


def test_batch_whose_rows_are_all_held_leaves_an_empty_rest(suite: Any) -> None:
    suite({**POSITION, "kwargs": {"column": "position", "min_value": 5}, "meta": HOLD})
    result, rest = gate("slices", make.batch("slices"), share=0.5)
    assert rest.num_rows == 0 and rest.schema == TABLES["slices"].arrow_schema()
    assert result.stopped


def test_whoever_may_be_configured_to_answer_may_be_registered() -> None:
    suite = json.loads((resources.EXPECTATIONS / "models.json").read_text(encoding="utf-8"))
    [allowed] = [e["kwargs"]["value_set"] for e in suite["expectations"] if e["kwargs"].get("column") == "backend"]
    assert {*allowed, "reward"} == set(get_args(Contestant.model_fields["backend"].annotation))


def test_null_in_a_required_column_stops() -> None:
    result, _ = gate("battles", make.batch("battles", {1: {"winner": None}}))
    assert failed(result) == {"not_be_null(winner)": "critical"}
    assert result.stopped


@pytest.mark.parametrize("name", make.BUILDERS)
def test_empty_batch_audits_cleanly(name: str) -> None:
    result, rest = gate(name, make.table_of(name, []))
    counts = dict.fromkeys(("slices", "judge_cards", "plans", "wizard_arena"), "critical") | {
        "training_sets": "warning"
    }
    severity = {"table_row_count_to_be_between": counts[name]} if name in counts else {}
    assert failed(result) == severity
    assert result.stopped == (counts.get(name) == "critical")
    assert rest.num_rows == 0 and not result.held


@pytest.mark.parametrize(
    ("change", "observed", "limit"),
    [
        (lambda t: t.drop_columns("position"), ["round", "stage", "instruction_id"], ["position INTEGER"]),
        (lambda t: t.append_column("more", pa.array([1, 2, 3], pa.int64())), ["more BIGINT"], None),
        (lambda t: t.select(["stage", "round", "instruction_id", "position"]), ["stage", "round"], None),
        (
            lambda t: t.set_column(3, "position", t["position"].cast("string")),
            ["position VARCHAR"],
            ["position INTEGER"],
        ),
    ],
)
def test_other_schema_stops_before_any_other_check(change: Any, observed: list[str], limit: list[str] | None) -> None:
    result, _ = gate("slices", change(make.batch("slices")))
    (outcome,) = result.outcomes
    assert (outcome.expectation, outcome.outcome, outcome.severity) == ("schema", "fail", "critical")
    assert [c.split()[0] for c in json.loads(outcome.observed)][: len(observed)] == [c.split()[0] for c in observed]
    assert limit is None or json.loads(outcome.limit) == limit
    assert result.stopped


def test_arrow_types_that_mean_the_same_are_the_same_schema() -> None:
    batch = make.batch("slices")
    large = pa.schema([pa.field(f.name, pa.large_string() if f.type == pa.string() else f.type) for f in batch.schema])
    assert failed(gate("slices", batch.cast(large))[0]) == {}


def test_limits_come_from_the_parameters() -> None:
    batch = make.batch("verdicts", {0: {"parse_status": "cut", "score_a": None, "score_b": None}})  # 4 of 6 parse
    assert failed(gate("verdicts", batch, min_parse_rate=0.66)[0]) == {}
    result, _ = gate("verdicts", batch, min_parse_rate=0.67)
    (outcome,) = [o for o in result.outcomes if o.outcome == "fail"]
    assert outcome.severity == "critical" and outcome.failed_rows == 2
    assert json.loads(outcome.limit)["mostly"] == 0.67
    assert json.loads(outcome.observed)["of"] == 6
    assert json.loads(outcome.observed)["examples"][0]["parse_status"] == "cut"
    assert outcome.runbook == "docs/runbook.md#parse-rate"
    assert "owner judging" in result.reasons[0]


FIGURES = pa.table(
    {"subject": ["a", "b"], "drawn": [4.0, 9.0], "drawn_usual": [5.0, 5.0], "drawn_deviation": [-1.0, 4.0]}
)


@pytest.mark.parametrize(("column", "found"), [("drawn", {"subject": "b", "drawn": 9.0}), ("drawn_deviation", None)])
def test_figures_of_the_batch_are_bound_by_subject(suite: Any, column: str, found: dict[str, Any] | None) -> None:
    suite({**POSITION, "kwargs": {"column": column, "max_value": 3.9}, "meta": {"measure": True}})
    result, rest = audit(TABLES["slices"], make.batch("slices"), {}, 0.1, measures=FIGURES)
    [outcome] = [o for o in result.outcomes if o.outcome != "pass"]
    seen = json.loads(outcome.observed)
    if column == "drawn":
        assert seen["failed"] == 2 and found in seen["examples"]
    else:  # with the figure itself and what it usually is
        assert seen["examples"] == [{"subject": "b", "drawn": 9.0, "drawn_usual": 5.0, "drawn_deviation": 4.0}]
        assert json.loads(str(outcome.samples)) == [{"subject": "b"}]
    assert rest.num_rows == 3


def test_without_figures_nothing_is_said_about_them(suite: Any) -> None:
    suite({**POSITION, "kwargs": {"column": "drawn", "max_value": 1}, "meta": {"measure": True}})
    assert failed(audit(TABLES["slices"], make.batch("slices"), {}, 0.1)[0]) == {}


@pytest.mark.parametrize(("nulls", "held"), [({}, ["2"]), ({"nulls": "pass"}, []), ({"nulls": "fail"}, ["2"])])
def test_a_null_breaks_a_rule_that_holds_rows_unless_the_suite_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nulls: dict[str, str], held: list[str]
) -> None:
    monkeypatch.setattr(resources, "EXPECTATIONS", tmp_path)
    rule = {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "difficulty", "min_value": 0},
        "severity": "warning",
        "meta": {"quarantine": True, "reason": "not known", **nulls},
    }
    document = {"name": "instructions", "meta": {"owner": "o", "runbook": "r"}, "expectations": [rule]}
    (tmp_path / "instructions.json").write_text(json.dumps(document))
    result, _ = gate("instructions", make.batch("instructions"))  # the second of three has no difficulty
    assert [json.loads(row.row)["source_id"] for row in result.held] == held


def test_rows_of_another_partition_stop_before_any_other_check() -> None:
    batch = make.batch("slices", {0: {"stage": "dpo"}})
    result, _ = audit(TABLES["slices"], batch, {}, 0.1, partition={"round": "2026-01-01", "stage": "sft"})
    assert [(o.expectation, o.outcome) for o in result.outcomes] == [("schema", "pass"), ("partition", "fail")]
    assert json.loads(result.outcomes[1].observed) == {"value": ["dpo"]}


def test_missing_limit_is_named() -> None:
    with pytest.raises(InputError, match="min_parse_rate"):
        audit(TABLES["verdicts"], make.batch("verdicts"), {}, 0.1)


@pytest.mark.parametrize(("severity", "stopped"), [("critical", True), ("warning", False)])
def test_check_that_cannot_run_is_broken_not_failed(suite: Any, severity: str, stopped: bool) -> None:
    suite({**POSITION, "kwargs": {"column": "nowhere", "max_value": 1}, "severity": severity})
    result, rest = gate("slices", make.batch("slices"))
    (outcome,) = [o for o in result.outcomes if o.outcome != "pass"]
    assert (outcome.outcome, outcome.severity, outcome.failed_rows) == ("broken", severity, None)
    assert "nowhere" in json.loads(outcome.observed)["error"]
    assert result.stopped == stopped and rest.num_rows == 3


def test_broken_rule_that_should_hold_rows_stops(suite: Any) -> None:
    regex = {"type": "expect_column_values_to_match_regex", "kwargs": {"column": "round", "regex": "["}}
    suite({**regex, "severity": "warning", "meta": HOLD})
    result, _ = gate("slices", make.batch("slices"))
    assert failed(result) == {"match_regex(round)": "critical"}
    assert result.stopped and "is broken" in result.reasons[0]


@pytest.mark.parametrize(
    ("expectation", "complaint"),
    [
        ({**POSITION, "type": "expect_column_values_to_be_nice"}, "not found"),
        ({**POSITION, "kwargs": {"column": "position", "maximum": 1}}, "extra fields"),
        ({**POSITION, "severity": "fatal"}, "Invalid severity"),
        ({"type": POSITION["type"], "kwargs": POSITION["kwargs"]}, "severity"),
        ({**POSITION, "remark": "x"}, "remark"),
        ({**POSITION, "severity": "critical", "meta": HOLD}, "warning or info"),
        ({**POSITION, "meta": {"quarantine": True}}, "reason"),
        ({**POSITION, "meta": {**HOLD, "measure": True}}, "figures are not rows"),
        ({**POSITION, "meta": {**HOLD, "nulls": "perhaps"}}, "fail or pass"),
        ({**POSITION, "type": "expect_column_mean_to_be_between", "meta": HOLD}, "single rows"),
        ({**POSITION, "type": "expect_column_values_to_not_be_null", "kwargs": {"column": "round"}}, "second"),
    ],
)
def test_wrong_expectation_is_refused_at_load(suite: Any, expectation: dict[str, Any], complaint: str) -> None:
    suite(expectation)
    with pytest.raises(InputError, match=rf"slices\.json(.|\n)*{complaint}"):
        load(TABLES["slices"])


@pytest.mark.parametrize(
    "document",
    [{"name": "battles"}, {"meta": {"owner": "judging"}}, {"meta": {"runbook": "r"}}, {"expectation": []}],
)
def test_wrong_document_is_refused_at_load(suite: Any, document: dict[str, Any]) -> None:
    suite(**document)
    with pytest.raises(InputError, match=r"slices\.json"):
        load(TABLES["slices"])


def test_missing_or_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "EXPECTATIONS", tmp_path)
    with pytest.raises(InputError, match=r"slices\.json"):
        load(TABLES["slices"])
    (tmp_path / "slices.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"slices\.json"):
        load(TABLES["slices"])


def test_hash_follows_the_suite(suite: Any) -> None:
    suite(POSITION)
    first = load(TABLES["slices"]).hash
    assert load(TABLES["slices"]).hash == first
    suite({**POSITION, "severity": "info"})
    assert load(TABLES["slices"]).hash != first


def test_audit_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    gate("verdicts", broken_rows("verdicts", {"turn": 0}))
    assert capfd.readouterr() == ("", "")
