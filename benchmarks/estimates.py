"""How good are the estimates of category and difficulty that need no model to be asked? Against published labels."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import duckdb
import numpy as np
import typer
from published import INSTRUCTIONS
from scipy.stats import spearmanr

from arena_etl.config import Config, Engine
from arena_etl.instructions import estimates
from arena_etl.instructions.encoder import Encoder

# What WizardLM's skills are among the eight categories; skills that fit none, or several, are left out.
SKILLS = {
    **dict.fromkeys(("Math",), "math"),
    **dict.fromkeys(("Code Generation", "Code Debug", "Computer Science"), "coding"),
    **dict.fromkeys(("Reasoning", "Common-Sense", "Counterfactual"), "reasoning"),
    **dict.fromkeys(("Roleplay",), "roleplay"),
    **dict.fromkeys(("Writting", "Academic Writing"), "writing"),
    **dict.fromkeys(("Biology", "Chemistry", "Physics", "Medicine"), "stem"),
    **dict.fromkeys(("Economy", "Ethics", "History", "Law", "Literature", "Philosophy", "Art"), "humanities"),
}


def labelled(instructions: Path, source: str) -> list[tuple[str, str, str]]:
    """Text, category and subcategory of a source's instructions."""
    return duckdb.sql(
        f"""
        select coalesce(array_to_string(turns, chr(10)), instruction), category, subcategory
        from '{instructions}' where source = '{source}' order by instruction_id
        """
    ).fetchall()


def categories(config: Config, encoder: Encoder, rows: list[tuple[str, str]]) -> dict[str, float]:
    """Share that got a category, and the share of those that got the right one."""
    found = estimates.Categories(config, encoder).of(encoder.encode([text for text, _ in rows]))
    known = [(guess, label) for guess, (_, label) in zip(found, rows, strict=True) if guess != estimates.UNKNOWN]
    return {
        "instructions": len(rows),
        "known": len(known) / len(rows),
        "right": float(np.mean([guess == label for guess, label in known])),
    }


def main(
    instructions: Annotated[
        Path, typer.Argument(help="Parquet with MT-Bench and the WizardLM test set in it.")
    ] = INSTRUCTIONS,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Categories against MT-Bench's own and WizardLM's skills; difficulty against WizardLM's levels (rank correlation)."""
    config = Config()
    encoder = Encoder(config.embedding, Engine(threads=1))
    mt_bench = [(text, label) for text, label, _ in labelled(instructions, "mt_bench")]
    wizardlm = labelled(instructions, "wizardlm_testset")
    skills = [(text, SKILLS[skill]) for text, skill, _ in wizardlm if skill in SKILLS]
    levels = [int(level.removeprefix("difficulty_")) for _, _, level in wizardlm]
    guesses = [estimates.difficulty([text]) for text, _, _ in wizardlm]
    lengths = [len(text) for text, _, _ in wizardlm]
    result: dict[str, Any] = {
        "categories of MT-Bench": categories(config, encoder, mt_bench),
        "skills of WizardLM": categories(config, encoder, skills),
        "difficulty of WizardLM": {
            "instructions": len(levels),
            "estimate": float(spearmanr(guesses, levels).statistic),
            "characters alone": float(spearmanr(lengths, levels).statistic),
        },
    }
    if as_json:
        sys.stdout.write(json.dumps(result) + "\n")
        return
    for name, values in result.items():
        sys.stdout.write(f"{name}: " + ", ".join(f"{key} {value:.3g}" for key, value in values.items()) + "\n")


if __name__ == "__main__":
    typer.run(main)
