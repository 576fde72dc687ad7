"""Signatures: the same for the same shingles for ever, and alike for texts that are."""

import random

import pyarrow as pa
import pytest

from arena_etl.config import Deduplication
from arena_etl.instructions.minhash import MinHash

MINHASH = MinHash.of(Deduplication())


def test_stored_signatures_stay_comparable() -> None:
    """Whoever makes this fail changed the signatures: then `scheme` must change with them, or old rows match nothing."""
    small = MinHash(shingle=2, bands=3, rows=2, seed=1)
    assert small.scheme == "2-word shingles, 3 bands of 2 minima, seed 1, R-MinHash 2"
    assert small.signatures([["the", "quick", "brown", "fox"]]).to_pylist() == [[1988145965, 1121693987, -1174194245]]


def test_order_and_repetition_of_shingles_do_not_matter() -> None:
    words = ["a", "b", "c"]
    assert (
        MinHash(1, 25, 5, 0).signatures([words, [*reversed(words)] * 2]).to_pylist()[0]
        == (MinHash(1, 25, 5, 0).signatures([[*reversed(words)] * 2]).to_pylist()[0])
    )


def test_short_texts_are_one_shingle_and_empty_ones_none() -> None:
    assert MINHASH.shingles(["hello"]) == ["hello"]
    assert MINHASH.shingles(["a", "b", "c", "d"]) == ["a b c", "b c d"]
    empty, one = MINHASH.signatures([[], ["hello"]]).to_pylist()
    assert (empty, len(one)) == ([], 25)


def test_no_text_gives_no_signature() -> None:
    assert MINHASH.signatures([]).to_pylist() == []
    assert MINHASH.signatures([]).type == pa.list_(pa.int32())


@pytest.mark.parametrize("jaccard", [0.5, 0.7, 0.9])
def test_bands_collide_as_often_as_the_formula_says(jaccard: float) -> None:
    """Two sets of Jaccard similarity j share a band of r minima with probability j^r (Broder 1997)."""
    draw = random.Random(7)
    common = round(200 * jaccard)
    rest = (200 - common) // 2
    texts = []
    for _ in range(150):
        words = [f"w{draw.random()}" for _ in range(common + 2 * rest)]
        texts += [words[: common + rest], words[:common] + words[common + rest :]]
    bands = MinHash(shingle=1, bands=25, rows=5, seed=0).signatures(texts).to_pylist()
    equal = [
        a == b for one, other in zip(bands[::2], bands[1::2], strict=True) for a, b in zip(one, other, strict=True)
    ]
    assert sum(equal) / len(equal) == pytest.approx(jaccard**5, abs=0.04)


def test_another_seed_is_another_scheme() -> None:
    other = MinHash.of(Deduplication(seed=1))
    words = [["the", "quick", "brown", "fox"]]
    assert other.scheme != MINHASH.scheme
    assert other.signatures(words).to_pylist() != MINHASH.signatures(words).to_pylist()
