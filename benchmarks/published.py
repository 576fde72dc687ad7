"""Where the published files lie that some benchmarks read. They are not part of the project."""

from pathlib import Path

DATA = Path(__file__).parents[2] / "shared" / "data"
INSTRUCTIONS = DATA / "instructions.parquet"
