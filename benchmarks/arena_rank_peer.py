"""arena-rank in an environment of its own, because it pins numpy and jax. Answers one file name per line of standard input.

``uv run --no-project --with arena-rank==0.1.1 --with pyarrow python benchmarks/arena_rank_peer.py``. The answer is one JSON
line: the seconds from opening the file to ratings with (sandwich) intervals, and the ratings.
"""

import json
import sys
import time

import pandas as pd
from arena_rank.models.bradley_terry import BradleyTerry
from arena_rank.utils.data_utils import PairDataset


def main() -> None:
    for line in sys.stdin:
        started = time.perf_counter()
        battles = pd.read_parquet(line.strip(), columns=["model_a", "model_b", "winner"])
        dataset = PairDataset.from_pandas(battles)
        result = BradleyTerry(n_competitors=len(dataset.competitors)).compute_ratings_and_cis(dataset)
        ratings = dict(zip(map(str, result["competitors"]), map(float, result["ratings"]), strict=True))
        sys.stdout.write(json.dumps({"seconds": time.perf_counter() - started, "ratings": ratings}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
