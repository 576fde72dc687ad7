"""Every table of the lake, declared once: docs, views, empty tables and base expectations derive from here.

Types are DuckDB's. Timestamps carry a zone (UTC) and integers are signed: Delta has nothing else (a TIMESTAMP without
zone raises the table's protocol, unsigned types overflow). Columns are only ever added.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import duckdb

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    meaning: str
    nullable: bool = False


@dataclass(frozen=True)
class Table:
    """``grain``: the unique key. ``partition_by``: what one commit replaces. ``append``: rows are only ever added.

    ``unique``: columns that every commit checks against the whole table, not only inside its batch.
    """

    name: str
    meaning: str
    grain: tuple[str, ...]
    partition_by: tuple[str, ...]
    columns: tuple[Column, ...]
    append: bool = False
    unique: tuple[str, ...] = ()

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def arrow_schema(self) -> Any:
        """The pyarrow.Schema of the table's rows, in declared order."""
        return _arrow_schema(self.name)

    def empty_select(self) -> str:
        """A SELECT of the declared columns and types that yields no row."""
        columns = ", ".join(f'cast(null as {c.type}) as "{c.name}"' for c in self.columns)
        return f"select {columns} where false"


@cache
def _arrow_schema(name: str) -> Any:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        return connection.sql(TABLES[name].empty_select()).to_arrow_table().schema


ROUND = Column("round", "VARCHAR", "date of the nightly round, YYYY-MM-DD, UTC")
STAGE = Column("stage", "VARCHAR", "stage of the round: sft, dpo or ppo")
TRAINED = Column("stage", "VARCHAR", "what learns: sft, dpo, rm (the reward model of the stage ppo) or ppo")
ARENA = Column("arena", "VARCHAR", "training (the slice drawn for the stage) or wizard_arena (the held-out test set)")
INSTRUCTION = Column("instruction_id", "VARCHAR", "SHA-256 of the canonical conversation")
SCOPE = Column("scope", "VARCHAR", "arena whose battles count, or a part of it such as wizard_arena/category=math")
TURN = Column("turn", "INTEGER", "user turn that is answered, from 1")
CREATED = Column("created_at", "TIMESTAMPTZ", "when the row was made, UTC")
CONVERSATION = "STRUCT(role VARCHAR, content VARCHAR)[]"
STYLE = {  # sql/battles/answer_style.sql
    "length": "characters",
    "headers": "Markdown headers",
    "bold": "bold spans",
    "lists": "list items",
}

_DECLARED = (
    Table(
        "raw_instructions",
        "What a source gave, untouched, with its licence and load time.",
        grain=("source", "source_id"),
        partition_by=("source",),
        append=True,
        unique=("source", "source_id"),
        columns=(
            Column("source", "VARCHAR", "name of the source in the configuration"),
            Column("source_id", "VARCHAR", "the row's id in the source, else the hash of the row"),
            Column("line", "BIGINT", "line of the source file, or row of a columnar one, from 1"),
            Column("raw", "VARCHAR", "the line as it was, or the row of a columnar file, JSON text"),
            Column("license", "VARCHAR", "licence under which the source gives this row"),
            Column("file", "VARCHAR", "name of the source file"),
            Column("file_sha256", "VARCHAR", "hash of the file that first brought the row"),
            Column("loaded_at", "TIMESTAMPTZ", "when the row was landed, UTC"),
        ),
    ),
    Table(
        "instructions",
        "Clean instructions: one row per distinct conversation.",
        grain=("instruction_id",),
        partition_by=("source",),
        append=True,
        unique=("instruction_id",),
        columns=(
            INSTRUCTION,
            Column("source", "VARCHAR", "source that first brought it"),
            Column("source_id", "VARCHAR", "its id in that source"),
            Column("license", "VARCHAR", "licence of the row"),
            Column("conversation", CONVERSATION, "the user's turns in order (role, content)"),
            Column("turns", "INTEGER", "number of user turns"),
            Column("language", "VARCHAR", "ISO 639 code, said by the source or detected; und where it cannot be told"),
            Column("category", "VARCHAR", "one of the eight MT-Bench categories, or unknown"),
            Column("difficulty", "DOUBLE", "0 (easy) to 10 (hard)", nullable=True),
            Column("cluster", "INTEGER", "embedding cluster", nullable=True),
            Column("split", "VARCHAR", "train, wizard_diverse, wizard_hard or benchmark (a registered test set)"),
            Column("reference", "VARCHAR[]", "reference answer per turn", nullable=True),
            Column("checker", "VARCHAR", "programmatic checks, JSON list with one checker per turn", nullable=True),
            Column("loaded_at", "TIMESTAMPTZ", "when the row was prepared, UTC"),
            Column("prefix", "VARCHAR", "hash of the beginning; null: not compared with others", nullable=True),
        ),
    ),
    Table(
        "signatures",
        "MinHash signatures of the instructions: what finds near-duplicates without reading their texts again.",
        grain=("instruction_id", "scheme"),
        partition_by=("source",),
        append=True,
        unique=("instruction_id", "scheme"),
        columns=(
            INSTRUCTION,
            Column("source", "VARCHAR", "source of the instruction"),
            Column("scheme", "VARCHAR", "how it was made: words per shingle, bands x minima, seed, algorithm"),
            Column("bands", "INTEGER[]", "hash of each band of minima; texts that share one may be near-duplicates"),
            CREATED,
        ),
    ),
    Table(
        "near_duplicates",
        "Training instructions that are never drawn because they are nearly the same as another one.",
        grain=("instruction_id",),
        partition_by=("source",),
        append=True,
        unique=("instruction_id",),
        columns=(
            INSTRUCTION,
            Column("source", "VARCHAR", "source of the removed instruction"),
            Column("kept_id", "VARCHAR", "instruction_id of the one that is kept in its place"),
            Column("jaccard", "DOUBLE", "share of their word shingles that both have, 0 to 1"),
            CREATED,
        ),
    ),
    Table(
        "contamination",
        "Training instructions that are never drawn because a test set has them, or nearly: one row per reason.",
        grain=("instruction_id", "test_id", "method"),
        partition_by=("source",),
        append=True,
        unique=("instruction_id", "test_id", "method"),
        columns=(
            INSTRUCTION,
            Column("source", "VARCHAR", "source of the removed instruction"),
            Column("benchmark", "VARCHAR", "the test set: its source, or the version of a WizardArena set"),
            Column("test_id", "VARCHAR", "instruction_id of the test item"),
            Column("method", "VARCHAR", "identical, ngram (shared words) or embedding (near neighbour)"),
            Column("overlap", "INTEGER", "words of the longest run that both have; null for embedding", nullable=True),
            Column("similarity", "DOUBLE", "cosine of the embeddings; null but for embedding", nullable=True),
            CREATED,
        ),
    ),
    Table(
        "embeddings",
        "What an instruction is about, as a vector: the user's turns joined by line breaks, read by a sentence encoder.",
        grain=("instruction_id", "model"),
        partition_by=("source",),
        append=True,
        unique=("instruction_id", "model"),
        columns=(
            Column("source", "VARCHAR", "source of the instruction"),
            INSTRUCTION,
            Column("model", "VARCHAR", "name and hash of the encoder's settings"),
            Column("vector", "FLOAT[]", "of unit length: the cosine of two is list_dot_product"),
            CREATED,
        ),
    ),
    Table(
        "centroids",
        "The clusters of the instructions: k-means centres of their embeddings, to which new instructions are assigned.",
        grain=("model", "cluster"),
        partition_by=("model",),
        columns=(
            Column("model", "VARCHAR", "encoder of the embeddings"),
            Column(
                "clustering", "VARCHAR", "name of this set of centres: their number and a hash of what decided them"
            ),
            Column("cluster", "INTEGER", "number of the cluster, from 0, the largest first"),
            Column("vector", "FLOAT[]", "direction of the centre, of unit length"),
            Column("instructions", "BIGINT", "instructions of the cluster when it was made"),
            CREATED,
        ),
    ),
    Table(
        "features",
        "What was found out about an instruction; sql/instructions/described.sql puts the source's own word before it.",
        grain=("instruction_id", "describer"),
        partition_by=("source",),
        append=True,
        unique=("instruction_id", "describer"),
        columns=(
            Column("source", "VARCHAR", "source of the instruction"),
            INSTRUCTION,
            Column("describer", "VARCHAR", "name of the clusters and hash of the rater or the estimates"),
            Column("cluster", "INTEGER", "nearest centre; null without an embedding", nullable=True),
            Column("similarity", "DOUBLE", "cosine to that centre", nullable=True),
            Column("difficulty", "DOUBLE", "0 (easy) to 10 (hard)", nullable=True),
            Column("difficulty_by", "VARCHAR", "source, the id of the rater, or estimate-v1"),
            Column("category", "VARCHAR", "one of the eight MT-Bench categories, or unknown"),
            Column("category_by", "VARCHAR", "source, the id of the rater, or examples-v1"),
            Column("error", "VARCHAR", "why the rater's answer could not be taken", nullable=True),
            CREATED,
        ),
    ),
    Table(
        "wizard_arena",
        "Members of the built WizardArena sets: frozen per version, tested on, never trained on.",
        grain=("version", "instruction_id"),
        partition_by=("version",),
        columns=(
            Column("version", "VARCHAR", "name of the build"),
            INSTRUCTION,
            Column("set", "VARCHAR", "diverse or hard; Mix is both together"),
            Column("cluster", "INTEGER", "cluster that it was drawn from"),
            Column("difficulty", "DOUBLE", "0 to 10 when it was drawn; null if unknown", nullable=True),
            Column("rank", "INTEGER", "place in its set from 1; hard: the most difficult first"),
            CREATED,
        ),
    ),
    Table(
        "slices",
        "The draw: which fresh training instructions each stage fights on. Stored, so that it is never repeated.",
        grain=("round", "stage", "instruction_id"),
        partition_by=("round", "stage"),
        unique=("instruction_id",),
        columns=(ROUND, STAGE, INSTRUCTION, Column("position", "INTEGER", "place in the seeded order, from 0")),
    ),
    Table(
        "models",
        "Registry of everything that fought.",
        grain=("contestant_id",),
        partition_by=("round",),
        append=True,
        unique=("contestant_id",),
        columns=(
            Column("round", "VARCHAR", "round that registered the model, YYYY-MM-DD"),
            Column("contestant_id", "VARCHAR", "name and first 8 hex digits of the definition's hash"),
            Column("name", "VARCHAR", "name for people"),
            Column("role", "VARCHAR", "target, rival or candidate"),
            Column("family", "VARCHAR", "name of the configured contestant that the model descends from"),
            Column("backend", "VARCHAR", "transformers or recorded"),
            Column("checkpoint", "VARCHAR", "where the weights or the stored answers are"),
            Column("revision", "VARCHAR", "revision of the checkpoint", nullable=True),
            Column("system_prompt", "VARCHAR", "system prompt, if any", nullable=True),
            Column("sampling", "VARCHAR", "sampling parameters, JSON"),
            Column("parent", "VARCHAR", "contestant that was trained to make this one", nullable=True),
            CREATED,
        ),
    ),
    Table(
        "plans",
        "What a round was expected to take before it began: calls, tokens, money and time per model.",
        grain=("round", "stage", "arena", "kind", "name"),
        partition_by=("round",),
        columns=(
            ROUND,
            STAGE,
            ARENA,
            Column("kind", "VARCHAR", "response or verdict"),
            Column(
                "name", "VARCHAR", "name of the contestant (`candidate`: what the stage will train) or of the judge"
            ),
            Column("calls", "BIGINT", "calls that the round needs and that are not done yet"),
            Column("done", "BIGINT", "calls whose result is there already, from earlier rounds or this one"),
            Column("tokens_in", "BIGINT", "prompt tokens of the calls"),
            Column("tokens_out", "BIGINT", "generated tokens of the calls"),
            Column("cost_usd", "DOUBLE", "by the model's prices, US dollars"),
            Column("hours", "DOUBLE", "by the throughput measured so far; null if nothing is measured", nullable=True),
            Column("basis", "VARCHAR", "history: lengths of earlier calls; limit: the longest answer that is allowed"),
            CREATED,
        ),
    ),
    Table(
        "responses",
        "What the contestants answered.",
        grain=("instruction_id", "contestant_id", "turn"),
        partition_by=("round", "stage", "arena"),
        columns=(
            ROUND,
            STAGE,
            ARENA,
            INSTRUCTION,
            Column("contestant_id", "VARCHAR", "who answered"),
            TURN,
            Column("response_id", "VARCHAR", "SHA-256 of contestant, effective request, conversation and answer"),
            Column("text", "VARCHAR", "the answer; null when there is an error", nullable=True),
            Column("reasoning", "VARCHAR", "what the model thought aloud before the answer", nullable=True),
            Column("finish_reason", "VARCHAR", "stop, length, recorded, content_filter or error"),
            Column("error", "VARCHAR", "why there is no answer", nullable=True),
            Column("tokens_in", "BIGINT", "prompt tokens", nullable=True),
            Column("tokens_out", "BIGINT", "generated tokens", nullable=True),
            Column("latency_s", "DOUBLE", "seconds of the batch that made it, divided by its rows"),
            Column("cost_usd", "DOUBLE", "price of the call, US dollars"),
            Column("request", "VARCHAR", "effective request: sampling, system prompt, template hash; JSON"),
            CREATED,
        ),
    ),
    Table(
        "verdicts",
        "What a judge said in one game: one row per ordered pair of answers.",
        grain=("instruction_id", "turn", "model_a", "model_b", "shown_first", "judge_id"),
        partition_by=("round", "stage", "arena"),
        columns=(
            ROUND,
            STAGE,
            ARENA,
            INSTRUCTION,
            TURN,
            Column("model_a", "VARCHAR", "contestant_id that sorts first"),
            Column("model_b", "VARCHAR", "contestant_id that sorts second"),
            Column("shown_first", "VARCHAR", "whose answer the judge saw first: model_a or model_b"),
            Column("judge_id", "VARCHAR", "judge name and hash of model, prompt and decoding"),
            Column("judge_kind", "VARCHAR", "model or verifier"),
            Column("response_a", "VARCHAR", "response_id of the answer of model_a; null if it has none", nullable=True),
            Column("response_b", "VARCHAR", "response_id of the answer of model_b; null if it has none", nullable=True),
            Column(
                "raw_text", "VARCHAR", "what the judge said, unchanged; of several attempts the last", nullable=True
            ),
            Column("first_text", "VARCHAR", "what it said before it was asked again", nullable=True),
            Column("error", "VARCHAR", "why there is no score, in words", nullable=True),
            Column("score_a", "DOUBLE", "score of model_a, 1 to 10; null unless parse_status is ok", nullable=True),
            Column("score_b", "DOUBLE", "score of model_b, 1 to 10; null unless parse_status is ok", nullable=True),
            Column("explanation", "VARCHAR", "the judge's reasons", nullable=True),
            Column("parse_status", "VARCHAR", "ok, or why the game is unusable: see arena_etl/verdicts/parse.py"),
            Column(
                "flags",
                "VARCHAR",
                "signs of an answer that steers the judge: model_a:sign,...",
                nullable=True,
            ),
            Column("attempts", "INTEGER", "times that the judge was asked; 0 where it was not needed"),
            Column("tokens_in", "BIGINT", "prompt tokens of all attempts; 0 for verifiers"),
            Column("tokens_out", "BIGINT", "generated tokens of all attempts; 0 for verifiers"),
            Column("latency_s", "DOUBLE", "seconds between this verdict and the one before it"),
            Column("cost_usd", "DOUBLE", "price of the call, US dollars"),
            Column("prompt_hash", "VARCHAR", "SHA-256 of the prompt template"),
            CREATED,
        ),
    ),
    Table(
        "battles",
        "The games of a pair merged: sql/battles/merge_games.sql, and merge_recorded.sql for imported ones; styled.sql.",
        grain=("instruction_id", "turn", "model_a", "model_b", "judge_id"),
        partition_by=("round", "stage", "arena"),
        columns=(
            ROUND,
            STAGE,
            ARENA,
            Column("battle_id", "VARCHAR", "hash of the grain, 32 hex digits"),
            INSTRUCTION,
            TURN,
            Column("model_a", "VARCHAR", "contestant_id that sorts first"),
            Column("model_b", "VARCHAR", "contestant_id that sorts second"),
            Column("judge_id", "VARCHAR", "who judged"),
            Column(
                "games",
                "INTEGER",
                "games that parsed: 2 per judge that decided here, 0 for identical answers",
            ),
            Column(
                "mean_a",
                "DOUBLE",
                "mean score of model_a over the games; null if unusable or no score is known",
                nullable=True,
            ),
            Column(
                "mean_b",
                "DOUBLE",
                "mean score of model_b over the games; null if unusable or no score is known",
                nullable=True,
            ),
            Column("winner", "VARCHAR", "model_a, model_b, tie or unusable"),
            Column("margin", "DOUBLE", "absolute difference of the means; null where they are", nullable=True),
            Column(
                "order_consistent",
                "BOOLEAN",
                "both orders name the same result; null if unusable or only one is known",
                nullable=True,
            ),
            Column(
                "recorded_in",
                "VARCHAR",
                "file that an imported battle comes from; null if it was fought here",
                nullable=True,
            ),
            *(
                Column(
                    f"{feature}_{side}",
                    "INTEGER",
                    f"{meaning} of model_{side}'s answer; null if unknown",
                    nullable=True,
                )
                for feature, meaning in STYLE.items()
                for side in "ab"
            ),
        ),
    ),
    Table(
        "ratings",
        "Ratings after each round, over all battles of the scope up to and including it.",
        grain=("round", "scope", "model", "method"),
        partition_by=("round",),
        columns=(
            ROUND,
            SCOPE,
            Column("model", "VARCHAR", "contestant_id"),
            Column(
                "method",
                "VARCHAR",
                "elo (online), bradley_terry (maximum likelihood) or style_controlled (length and Markdown held equal)",
            ),
            Column(
                "rating", "DOUBLE", "rating points; the mean of a scope is the configured start (1000), or see anchor"
            ),
            Column("log_strength", "DOUBLE", "natural logarithm of the Bradley-Terry strength, mean 0", nullable=True),
            Column("lower", "DOUBLE", "lower bound, instructions resampled", nullable=True),
            Column("upper", "DOUBLE", "upper bound, instructions resampled", nullable=True),
            Column("rank", "INTEGER", "1 is best in its component; ties share the smaller rank"),
            Column("rank_lower", "INTEGER", "best rank in the interval, instructions resampled", nullable=True),
            Column("rank_upper", "INTEGER", "worst rank in the interval, instructions resampled", nullable=True),
            Column("n", "BIGINT", "usable battles of the model in the scope"),
            Column("converged", "BOOLEAN", "the iteration met its tolerance; null for elo", nullable=True),
            Column(
                "component",
                "INTEGER",
                "group of models that are linked by battles, 1 is the largest; others cannot be compared",
                nullable=True,
            ),
            Column(
                "flag",
                "VARCHAR",
                "undefeated, winless or separated: the rating hangs on the prior games, not on the battles",
                nullable=True,
            ),
        ),
    ),
    Table(
        "win_rates",
        "Win rates after each round: every pair, the average over opponents, and with answer length held equal.",
        grain=("round", "scope", "method", "model_a", "model_b"),
        partition_by=("round",),
        columns=(
            ROUND,
            SCOPE,
            Column(
                "method",
                "VARCHAR",
                "pairwise, average (over all opponents, each counts once) or length_controlled (against the baseline)",
            ),
            Column("model_a", "VARCHAR", "the model whose rate this is"),
            Column("model_b", "VARCHAR", "its opponent, pairs in both directions; (all) for average"),
            Column("wins", "BIGINT", "battles that model_a won"),
            Column("ties", "BIGINT", "battles without a winner"),
            Column("losses", "BIGINT", "battles that model_b won"),
            Column("n", "BIGINT", "battles"),
            Column("rate", "DOUBLE", "share of wins, a tie is half a win, 0 to 1"),
            Column("lower", "DOUBLE", "lower bound, instructions resampled", nullable=True),
            Column("upper", "DOUBLE", "upper bound, instructions resampled", nullable=True),
        ),
    ),
    Table(
        "judge_cards",
        "How far a judge agrees with people, and with itself, on pairs that people labelled: sql/agreement/judge_card.sql.",
        grain=("judge_id", "dataset", "category"),
        partition_by=("judge_id", "dataset"),
        columns=(
            Column(
                "judge_id", "VARCHAR", "judge name and hash as in verdicts; for recorded judgements their judge's name"
            ),
            Column("dataset", "VARCHAR", "name of the labelled pairs"),
            Column("category", "VARCHAR", "overall, or a category of the pairs"),
            Column("pairs", "BIGINT", "labelled pairs that were judged"),
            Column("n", "BIGINT", "verdicts on them: two per pair that was shown in both orders"),
            Column("decided", "BIGINT", "verdicts in which neither the judge nor people say tie"),
            Column("agreement", "DOUBLE", "share of the verdicts that say what most people say; unread ones do not"),
            Column("lower", "DOUBLE", "lower bound of agreement, instructions resampled", nullable=True),
            Column("upper", "DOUBLE", "upper bound of agreement, instructions resampled", nullable=True),
            Column("kappa", "DOUBLE", "Cohen's kappa; null where chance alone is always right", nullable=True),
            Column("decided_agreement", "DOUBLE", "agreement over the decided verdicts", nullable=True),
            Column("battle_agreement", "DOUBLE", "share of the pairs whose merged games say what most people say"),
            Column(
                "order_consistency",
                "DOUBLE",
                "share of the pairs that get the same result in both orders; null if only one is known",
                nullable=True,
            ),
            Column(
                "first_position_share",
                "DOUBLE",
                "share of games with a winner that the answer shown first won, 0.5 is fair; null if only one order is known",
                nullable=True,
            ),
            Column("longer_share", "DOUBLE", "share of games with a winner that the longer answer won", nullable=True),
            Column("people_longer_share", "DOUBLE", "the same of the people's labels on these pairs", nullable=True),
            Column("parse_rate", "DOUBLE", "share of the verdicts that could be read"),
            Column("tokens_per_verdict", "DOUBLE", "prompt and generated tokens, mean", nullable=True),
            Column("cost_usd_per_1000", "DOUBLE", "price of a thousand verdicts, US dollars", nullable=True),
            Column("source", "VARCHAR", "run (the judge was asked) or recorded (its judgements were read)"),
            Column("pairs_sha256", "VARCHAR", "hash of the file of labelled pairs"),
            CREATED,
        ),
    ),
    Table(
        "training_sets",
        "What each stage learns from, with its origin.",
        grain=("example_id",),
        partition_by=("round", "stage"),
        columns=(
            ROUND,
            TRAINED,
            Column("example_id", "VARCHAR", "hash of round, stage, instruction and turn, 32 hex digits"),
            INSTRUCTION,
            TURN,
            Column("prompt", CONVERSATION, "what came before the answer, last turn is the user's"),
            Column("chosen", "VARCHAR", "answer to learn: the winner's; null for ppo", nullable=True),
            Column("rejected", "VARCHAR", "answer to avoid: the loser's; null for sft and ppo", nullable=True),
            Column("chosen_model", "VARCHAR", "contestant_id of the winner"),
            Column("rejected_model", "VARCHAR", "contestant_id of the loser; for sft, the target"),
            Column("margin", "DOUBLE", "score difference that selected it"),
            Column("battle_ids", "VARCHAR[]", "battles that it comes from"),
            Column("category", "VARCHAR", "category of the instruction"),
            Column("license", "VARCHAR", "licence of the instruction"),
        ),
    ),
    Table(
        "training_runs",
        "What was trained, from what, how, and how it went.",
        grain=("run_id",),
        partition_by=("round", "stage"),
        columns=(
            ROUND,
            TRAINED,
            Column("run_id", "VARCHAR", "round, stage and fingerprint of the inputs"),
            Column("parent", "VARCHAR", "contestant that was trained"),
            Column(
                "candidate",
                "VARCHAR",
                "contestant that came out; null where none did, and for rm",
                nullable=True,
            ),
            Column("status", "VARCHAR", "trained; skipped: nothing to learn from; stopped: a guard ended it"),
            Column("reason", "VARCHAR", "why it was skipped or stopped", nullable=True),
            Column("examples", "BIGINT", "examples in the training set"),
            Column("steps", "BIGINT", "optimizer steps"),
            Column("effective_batch_size", "BIGINT", "devices x micro batch x accumulation"),
            Column("hyperparameters", "VARCHAR", "the stage's settings, JSON"),
            Column("versions", "VARCHAR", "versions of the training libraries, JSON"),
            Column("data_version", "BIGINT", "version of training_sets that was read"),
            Column("data_hash", "VARCHAR", "hash of the examples: sql/training/digest.sql", nullable=True),
            Column("release_id", "BIGINT", "newest release when it was trained; null: there was none", nullable=True),
            Column("config_hash", "VARCHAR", "SHA-256 of the resolved configuration", nullable=True),
            Column("seed", "BIGINT", "seed of the training", nullable=True),
            Column(
                "curve",
                "STRUCT(step BIGINT, loss DOUBLE, learning_rate DOUBLE, grad_norm DOUBLE)[]",
                "one entry per optimizer step",
            ),
            Column(
                "metrics",
                "STRUCT(step BIGINT, name VARCHAR, value DOUBLE)[]",
                "what else was logged at every step: entropy, kl, rewards/margins, objective/scores...",
                nullable=True,
            ),
            Column("accuracy", "DOUBLE", "rm: share of the held-out pairs that it orders rightly", nullable=True),
            Column("first_loss", "DOUBLE", "loss of the first step", nullable=True),
            Column("last_loss", "DOUBLE", "mean loss of the last quarter of the steps", nullable=True),
            Column("checkpoint", "VARCHAR", "URI of the checkpoint", nullable=True),
            Column("seconds", "DOUBLE", "wall-clock seconds of training"),
            CREATED,
        ),
    ),
    Table(
        "promotions",
        "Whether the stage's candidate replaced the champion, and why.",
        grain=("round", "stage"),
        partition_by=("round", "stage"),
        columns=(
            ROUND,
            STAGE,
            Column("candidate", "VARCHAR", "contestant trained in this stage; null when none was", nullable=True),
            Column("champion", "VARCHAR", "contestant that held the place before"),
            Column("decision", "VARCHAR", "promoted or kept"),
            Column("reason", "VARCHAR", "the comparison in words"),
            Column("test", "VARCHAR", "name of the test, or forced"),
            Column("difference", "DOUBLE", "candidate's rating minus the champion's", nullable=True),
            Column("lower", "DOUBLE", "lower bound of the difference", nullable=True),
            Column("upper", "DOUBLE", "upper bound of the difference", nullable=True),
            Column("instructions", "BIGINT", "test instructions that both answered and that were judged"),
            Column("length_controlled", "DOUBLE", "candidate's win rate if answers were equally long", nullable=True),
            Column(
                "checks",
                "STRUCT(name VARCHAR, passed BOOLEAN, detail VARCHAR)[]",
                "every condition that was looked at; all must pass",
                nullable=True,
            ),
            Column(
                "same_judges",
                "BOOLEAN",
                "whether those who judged what the stage learned from judged its test as well",
                nullable=True,
            ),
            Column("decided_by", "VARCHAR", "rule, or the person who forced it", nullable=True),
            CREATED,
        ),
    ),
    Table(
        "quality_results",
        "Outcome of every expectation of every audit.",
        grain=("audit_id", "expectation"),
        partition_by=("table",),
        append=True,
        columns=(
            Column("audit_id", "VARCHAR", "table, partition and fingerprint of the audited batch"),
            Column("round", "VARCHAR", "round of the batch; null for tables without rounds", nullable=True),
            Column("stage", "VARCHAR", "stage of the batch", nullable=True),
            Column("arena", "VARCHAR", "arena of the batch", nullable=True),
            Column("table", "VARCHAR", "audited table"),
            Column("expectation", "VARCHAR", "type and subject, unique in the suite"),
            Column("severity", "VARCHAR", "critical (stops), warning (reports) or info"),
            Column("outcome", "VARCHAR", "pass, fail, or broken: the check itself failed"),
            Column("observed", "VARCHAR", "what was seen, JSON"),
            Column("limit", "VARCHAR", "what was asked for, JSON"),
            Column("failed_rows", "BIGINT", "rows that broke the expectation", nullable=True),
            Column("rows", "BIGINT", "rows of the batch"),
            Column("suite_hash", "VARCHAR", "SHA-256 of the suite"),
            Column("owner", "VARCHAR", "who acts on it"),
            CREATED,
            Column(
                "batch",
                "VARCHAR",
                "what was audited: table and partition, as verdicts/2026-01-05/sft/training",
                nullable=True,
            ),
            Column(
                "samples",
                "VARCHAR",
                "keys of the first rows that broke it, JSON list; null where it has none",
                nullable=True,
            ),
            Column("runbook", "VARCHAR", "page and heading that say what to do", nullable=True),
            Column(
                "decision_id", "VARCHAR", "the decision that let the batch pass although this failed", nullable=True
            ),
        ),
    ),
    Table(
        "measures",
        "Figures of audited batches that no single row has: completeness, rates, lengths, and how far they are from usual.",
        grain=("audit_id", "subject", "measure"),
        partition_by=("table",),
        append=True,
        columns=(
            Column("audit_id", "VARCHAR", "as in quality_results"),
            Column("round", "VARCHAR", "round of the batch; null for tables without rounds", nullable=True),
            Column("stage", "VARCHAR", "stage of the batch", nullable=True),
            Column("arena", "VARCHAR", "arena of the batch", nullable=True),
            Column("table", "VARCHAR", "audited table"),
            Column("subject", "VARCHAR", "contestant_id, judge_id, scope... that it is about, or (all)"),
            Column("measure", "VARCHAR", "its name: a column of sql/quality/TABLE.sql"),
            Column("value", "DOUBLE", "the figure"),
            Column(
                "usual", "DOUBLE", "median of the last released rounds, or configured; null if unknown", nullable=True
            ),
            Column("spread", "DOUBLE", "how far rounds usually are from that", nullable=True),
            CREATED,
        ),
    ),
    Table(
        "decisions",
        "What people decided about quality, and why: gates that they overrode once, alerts that they muted.",
        grain=("decision_id",),
        partition_by=(),
        append=True,
        columns=(
            Column("decision_id", "VARCHAR", "16 hex digits"),
            Column("kind", "VARCHAR", "accept (one stopped batch was published) or mute (no alerts until expires_at)"),
            Column("table", "VARCHAR", "table whose gate it is about"),
            Column("expectation", "VARCHAR", "the expectation that is muted; null for all of the table", nullable=True),
            Column("audit_id", "VARCHAR", "the audit that was overridden; null for a mute", nullable=True),
            Column("reason", "VARCHAR", "why, in the person's words"),
            Column("author", "VARCHAR", "who decided"),
            Column("expires_at", "TIMESTAMPTZ", "end of a mute, UTC", nullable=True),
            CREATED,
        ),
    ),
    Table(
        "alerts",
        "Messages about quality that were sent: one per round and stage until something changes, then one when it clears.",
        grain=("alert_id",),
        partition_by=(),
        append=True,
        columns=(
            Column("alert_id", "VARCHAR", "16 hex digits"),
            Column(
                "round",
                "VARCHAR",
                "round that it is about; null for tables without rounds and the watch",
                nullable=True,
            ),
            Column("stage", "VARCHAR", "stage that it is about; null where there is none", nullable=True),
            Column("channel", "VARCHAR", "name of the route that carried it; stdout is one"),
            Column("state", "VARCHAR", "raised or recovered"),
            Column("severity", "VARCHAR", "the worst of its problems"),
            Column("problems", "VARCHAR", "batch and expectation of each problem, JSON list"),
            Column("title", "VARCHAR", "first line of the message"),
            Column("text", "VARCHAR", "the message"),
            CREATED,
        ),
    ),
    Table(
        "quarantine",
        "Rows that a gate or a cleaning filter held back, whole and with the reason; a row that a person released is there once "
        "more.",
        grain=("table", "key", "expectation", "state"),
        partition_by=("table",),
        append=True,
        unique=("table", "key", "expectation", "state"),
        columns=(
            Column("table", "VARCHAR", "table that the row was meant for"),
            Column("key", "VARCHAR", "grain of the row, JSON"),
            Column("expectation", "VARCHAR", "rule that it broke"),
            Column("round", "VARCHAR", "round of the batch", nullable=True),
            Column("row", "VARCHAR", "the row, JSON"),
            Column("reason", "VARCHAR", "rule and limit in words; of a released row who released it, and why"),
            Column(
                "state", "VARCHAR", "held (broke a rule), removed (by a cleaning filter, as configured) or released"
            ),
            CREATED,
        ),
    ),
    Table(
        "releases",
        "One consistent published state of all tables: what readers see.",
        grain=("release_id",),
        partition_by=(),
        append=True,
        columns=(
            Column("release_id", "BIGINT", "1, 2, 3..."),
            Column("parent", "BIGINT", "release that this one was built on", nullable=True),
            Column("versions", "MAP(VARCHAR, BIGINT)", "Delta version per table"),
            Column("round", "VARCHAR", "round that it publishes", nullable=True),
            Column("author", "VARCHAR", "DAG run or person"),
            Column("reason", "VARCHAR", "why"),
            Column("code_version", "VARCHAR", "version of arena_etl"),
            Column("config_hash", "VARCHAR", "SHA-256 of the resolved configuration"),
            Column("config", "VARCHAR", "the resolved configuration, JSON, without secrets"),
            CREATED,
        ),
    ),
    Table(
        "retired_releases",
        "Releases that `gc` gave up: what only they needed may be deleted, so nobody reads them any more.",
        grain=("release_id",),
        partition_by=(),
        append=True,
        columns=(
            Column("release_id", "BIGINT", "release"),
            Column("reason", "VARCHAR", "the setting that gave it up"),
            Column("author", "VARCHAR", "DAG run or person"),
            CREATED,
        ),
    ),
)

TABLES: dict[str, Table] = {table.name: table for table in _DECLARED}
