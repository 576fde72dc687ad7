"""The model card of a checkpoint: what it is, what it learned from and how, in the form that Hugging Face reads."""

import json
from collections import Counter
from typing import Any

import pyarrow as pa
import yaml

from arena_etl.config import Config

_TITLES = {
    "sft": "supervised fine-tuning on the answers that beat it",
    "dpo": "direct preference optimisation",
    "rm": "reward model: one score per conversation",
    "ppo": "reinforcement learning against a reward model",
}


def render(config: Config, stage: str, outcome: dict[str, Any], examples: pa.Table) -> str:
    """Markdown with a YAML head, from the outcome of a training job (``job.perform``) and the examples it learned from."""
    head = {
        "base_model": config.target.checkpoint,
        "library_name": "transformers",
        "pipeline_tag": "text-classification" if stage == "rm" else "text-generation",
        "tags": ["arena-learning", stage],
    }
    licences = Counter(examples["license"].to_pylist())
    rounds = sorted(set(examples["round"].to_pylist()))
    facts = {
        "run": outcome["run_id"],
        "trained from": outcome["parent"],
        "release of the lake": outcome["release_id"] or "none yet",
        "configuration (SHA-256)": outcome["config_hash"],
        "data (see sql/training/digest.sql)": outcome["data_hash"],
        "examples": f"{examples.num_rows:,} of rounds {', '.join(rounds)}",
        "licences of the examples": ", ".join(f"{name} ({count:,})" for name, count in sorted(licences.items())),
        "seed": outcome["seed"],
        "optimizer steps": outcome["steps"],
        "effective batch size": outcome["effective_batch_size"],
        "loss, first step and last quarter": f"{outcome['first_loss']:.4f}, {outcome['last_loss']:.4f}",
        "versions": ", ".join(f"{name} {version}" for name, version in outcome["versions"].items()),
    }
    if outcome["accuracy"] is not None:
        facts["accuracy on held-out pairs"] = f"{outcome['accuracy']:.1%}"
    table = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    settings = json.dumps(config.training(stage).model_dump(mode="json"), indent=2)
    return (
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n\n# {outcome['run_id']}\n\n"
        f"Arena Learning, stage {stage}: {_TITLES[stage]}.\n\n| | |\n| --- | --- |\n{table}\n\n"
        f"Settings of the training:\n\n```json\n{settings}\n```\n"
    )
