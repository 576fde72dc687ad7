"""Minimal valid rows per table, to be changed by a test: ``batch("verdicts", {0: {"score_a": 11.0}})``."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from arena_etl.lake.tables import TABLES

Row = dict[str, Any]

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
A, B = "alpha-00000001", "beta-00000002"
FOUGHT = {"round": "2026-01-01", "stage": "sft", "arena": "training"}
STAGED = {"round": "2026-01-01", "stage": "sft"}


def identity(number: int) -> str:
    return f"{number:064x}"


def raw_instructions() -> list[Row]:
    return [
        {"source": "s", "source_id": str(i), "line": i, "raw": '{"turns": ["Hi"]}', "license": "CC0-1.0",
         "file": "s.jsonl", "file_sha256": identity(9), "loaded_at": NOW}
        for i in (1, 2, 3)
    ]  # fmt: skip


def instructions() -> list[Row]:
    return [
        {"instruction_id": identity(i), "source": "s", "source_id": str(i), "license": "CC0-1.0",
         "conversation": [{"role": "user", "content": f"What is {i} + {i}?"}], "turns": 1, "language": "en",
         "category": "math", "difficulty": difficulty, "cluster": None, "split": "train", "reference": [str(2 * i)],
         "checker": '[{"type": "number", "value": 2}]', "loaded_at": NOW, "prefix": None}
        for i, difficulty in ((1, 3.0), (2, None), (3, 10.0))
    ]  # fmt: skip


def embeddings() -> list[Row]:
    return [
        {"source": "s", "instruction_id": identity(i), "model": "encoder-00000001", "vector": [0.6, 0.8], "created_at": NOW}
        for i in (1, 2, 3)
    ]  # fmt: skip


def signatures() -> list[Row]:
    return [
        {"instruction_id": identity(i), "source": "s", "scheme": "3-word shingles", "bands": [i, -i], "created_at": NOW}
        for i in (1, 2, 3)
    ]


def near_duplicates() -> list[Row]:
    return [
        {"instruction_id": identity(i), "source": "s", "kept_id": identity(9), "jaccard": jaccard, "created_at": NOW}
        for i, jaccard in ((1, 0.7), (2, 1.0))
    ]


def contamination() -> list[Row]:
    common = {"instruction_id": identity(1), "source": "s", "benchmark": "b", "created_at": NOW}
    return [
        {**common, "test_id": identity(1), "method": "identical", "overlap": None, "similarity": None},
        {**common, "test_id": identity(2), "method": "ngram", "overlap": 13, "similarity": None},
        {**common, "test_id": identity(2), "method": "embedding", "overlap": None, "similarity": 0.9},
    ]


def centroids() -> list[Row]:
    common = {"model": "encoder-00000001", "clustering": "k2-0123abcd", "vector": [0.6, 0.8], "created_at": NOW}
    return [{**common, "cluster": 0, "instructions": 5}, {**common, "cluster": 1, "instructions": 3}]


def features() -> list[Row]:
    common = {"source": "s", "describer": "k2-0123abcd-00000001", "cluster": 1, "similarity": 0.5, "difficulty": 4.5,
              "difficulty_by": "estimate-v1", "category": "math", "category_by": "source", "error": None,
              "created_at": NOW}  # fmt: skip
    return [
        {**common, "instruction_id": identity(1)},
        {**common, "instruction_id": identity(2), "cluster": None, "similarity": None},
    ]


def wizard_arena() -> list[Row]:
    common = {"version": "v1", "cluster": 0, "created_at": NOW}
    return [
        {**common, "instruction_id": identity(1), "set": "hard", "difficulty": 9.0, "rank": 1},
        {**common, "instruction_id": identity(2), "set": "diverse", "difficulty": None, "rank": 1},
    ]


def slices() -> list[Row]:
    return [{**STAGED, "instruction_id": identity(i), "position": i} for i in (0, 1, 2)]


def models() -> list[Row]:
    common = {"round": "2026-01-01", "family": "alpha", "backend": "transformers", "checkpoint": "package:x",
              "revision": None, "system_prompt": None, "sampling": "{}", "created_at": NOW}  # fmt: skip
    return [
        {**common, "contestant_id": A, "name": "alpha", "role": "target", "parent": None},
        {**common, "contestant_id": B, "name": "beta", "role": "candidate", "parent": A},
    ]


def plans() -> list[Row]:
    common = {**FOUGHT, "done": 0, "tokens_in": 50, "tokens_out": 30, "cost_usd": 0.0, "hours": None, "basis": "limit",
              "created_at": NOW}  # fmt: skip
    return [
        {**common, "kind": "response", "name": "alpha", "calls": 5},
        {**common, "kind": "verdict", "name": "judge", "calls": 10},
    ]


def responses() -> list[Row]:
    common = {**FOUGHT, "turn": 1, "tokens_in": 5, "tokens_out": 3, "latency_s": 0.1, "request": "{}",
              "reasoning": None, "cost_usd": 0.0, "created_at": NOW}  # fmt: skip
    return [
        {**common, "instruction_id": identity(i), "contestant_id": c, "text": f"{c} {i}", "response_id": identity(i),
         "finish_reason": "stop", "error": None}
        for i in (1, 2) for c in (A, B)
    ]  # fmt: skip


def verdicts() -> list[Row]:
    common = {**FOUGHT, "turn": 1, "model_a": A, "model_b": B, "judge_id": "j-1", "judge_kind": "model",
              "explanation": None, "tokens_in": 9, "tokens_out": 4, "cost_usd": 0.0, "prompt_hash": identity(7),
              "response_a": identity(1), "response_b": identity(2), "first_text": None, "error": None, "flags": None,
              "attempts": 1, "latency_s": 0.5, "created_at": NOW}  # fmt: skip
    rows = [
        {**common, "instruction_id": identity(i), "shown_first": first, "raw_text": "7 4", "score_a": 7.0,
         "score_b": 4.0, "parse_status": "ok"}
        for i in (1, 2, 3) for first in ("model_a", "model_b")
    ]  # fmt: skip
    rows[-1].update(raw_text="?", score_a=None, score_b=None, parse_status="no_scores")
    return rows


def battles() -> list[Row]:
    common = {**FOUGHT, "turn": 1, "model_a": A, "model_b": B, "judge_id": "j-1", "length_a": 40, "length_b": 30}
    won = {"games": 2, "mean_a": 7.0, "mean_b": 4.0, "winner": "model_a", "margin": 3.0, "order_consistent": True}
    unusable = {"games": 1, "mean_a": None, "mean_b": None, "winner": "unusable", "margin": None,
                "order_consistent": None}  # fmt: skip
    return [
        {**common, **result, "instruction_id": identity(i), "battle_id": f"{i:032x}"}
        for i, result in ((1, won), (2, won), (3, unusable))
    ]


def ratings() -> list[Row]:
    common = {"round": "2026-01-01", "scope": "wizard_arena", "lower": 990.0, "upper": 1100.0, "n": 2,
              "rank_lower": 1, "rank_upper": 1, "component": 1, "flag": None}  # fmt: skip
    return [
        {**common, "model": A, "method": "elo", "rating": 1000.0, "log_strength": None, "rank": 1, "converged": None},
        {**common, "model": A, "method": "bradley_terry", "rating": 1001.0, "log_strength": 0.1, "rank": 1,
         "converged": True},
    ]  # fmt: skip


def win_rates() -> list[Row]:
    common = {"round": "2026-01-01", "scope": "wizard_arena", "method": "pairwise", "ties": 0, "n": 2}
    return [
        {**common, "model_a": A, "model_b": B, "wins": 2, "losses": 0, "rate": 1.0, "lower": 0.5, "upper": 1.0},
        {**common, "model_a": B, "model_b": A, "wins": 0, "losses": 2, "rate": 0.0, "lower": 0.0, "upper": 0.5},
    ]


def training_sets() -> list[Row]:
    common = {**STAGED, "turn": 1, "prompt": [{"role": "user", "content": "Hi"}], "chosen": "Hello!",
              "chosen_model": B, "rejected_model": A, "margin": 3.0, "battle_ids": [f"{1:032x}"],
              "category": "writing", "license": "CC0-1.0"}  # fmt: skip
    return [
        {**common, "example_id": f"{1:032x}", "instruction_id": identity(1), "rejected": None},
        {**common, "example_id": f"{2:032x}", "instruction_id": identity(2), "stage": "dpo", "rejected": "No."},
    ]


def training_runs() -> list[Row]:
    common = {**STAGED, "parent": A, "effective_batch_size": 8, "hyperparameters": "{}", "versions": "{}",
              "data_version": 0, "data_hash": identity(4), "release_id": None, "config_hash": identity(6), "seed": 0,
              "metrics": [{"step": 1, "name": "entropy", "value": 1.0}], "accuracy": None, "created_at": NOW}  # fmt: skip
    return [
        {**common, "run_id": "r1", "candidate": B, "status": "trained", "reason": None, "examples": 2, "steps": 1,
         "curve": [{"step": 1, "loss": 2.0, "learning_rate": 1e-5, "grad_norm": 1.0}], "first_loss": 2.0,
         "last_loss": 1.5, "checkpoint": "lake/checkpoints/r1", "seconds": 1.0},
        {**common, "run_id": "r2", "stage": "dpo", "candidate": None, "status": "skipped",
         "reason": "nothing was selected", "examples": 0, "steps": 0,
         "curve": [], "first_loss": None, "last_loss": None, "checkpoint": None, "seconds": 0.0},
    ]  # fmt: skip


def promotions() -> list[Row]:
    common = {**STAGED, "champion": A, "reason": "r", "test": "bootstrap", "instructions": 20,
              "length_controlled": 0.6, "checks": [{"name": "rating", "passed": True, "detail": "d"}], "same_judges": True,
              "decided_by": "rule", "created_at": NOW}  # fmt: skip
    return [
        {**common, "candidate": B, "decision": "promoted", "difference": 10.0, "lower": 1.0, "upper": 20.0},
        {**common, "stage": "dpo", "candidate": None, "decision": "kept", "difference": None, "lower": None,
         "upper": None},
    ]  # fmt: skip


def judge_cards() -> list[Row]:
    common = {"judge_id": "j-1", "dataset": "pairs", "pairs": 10, "n": 20, "decided": 18, "agreement": 0.7, "lower": 0.5,
              "upper": 0.9, "kappa": 0.4, "decided_agreement": 0.75, "battle_agreement": 0.6, "order_consistency": 0.8,
              "first_position_share": 0.55, "longer_share": 0.6, "people_longer_share": 0.5, "parse_rate": 1.0,
              "tokens_per_verdict": 300.0, "cost_usd_per_1000": 0.0, "source": "run", "pairs_sha256": identity(5),
              "created_at": NOW}  # fmt: skip
    unknown = dict.fromkeys(("kappa", "order_consistency", "first_position_share", "cost_usd_per_1000"))
    return [{**common, "category": "overall"}, {**common, **unknown, "category": "math", "source": "recorded"}]


BUILDERS = {
    builder.__name__: builder
    for builder in (
        raw_instructions,
        instructions,
        embeddings,
        signatures,
        near_duplicates,
        contamination,
        centroids,
        features,
        wizard_arena,
        slices,
        plans,
        models,
        responses,
        verdicts,
        battles,
        ratings,
        win_rates,
        training_sets,
        training_runs,
        promotions,
        judge_cards,
    )
}


def table_of(name: str, rows: list[Row]) -> pa.Table:
    """The rows as a batch of the table, in declared columns and types."""
    return pa.Table.from_pylist(rows, schema=TABLES[name].arrow_schema())


def batch(name: str, changes: Mapping[int, Row] | None = None) -> pa.Table:
    """The table's valid rows, some of them changed: row index to new values."""
    rows = BUILDERS[name]()
    for index, values in (changes or {}).items():
        rows[index].update(values)
    return table_of(name, rows)
