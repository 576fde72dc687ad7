"""Signatures: the same for the same shingles for ever, and alike for texts that are."""

import random

import pyarrow as pa
import pytest

from arena_etl.config import Deduplication
from arena_etl.instructions.minhash import MinHash

MINHASH = MinHash.of(Deduplication())


def sign(minhash: MinHash, *texts: str) -> list[list[int]]:
    signatures: list[list[int]] = minhash.signatures(words(*texts)).to_pylist()
    return signatures


def words(*texts: str) -> pa.ListArray:
    return pa.array([text.split() for text in texts], pa.list_(pa.string()))


def test_stored_signatures_stay_comparable() -> None:
    """Whoever makes this fail changed the signatures: then `scheme` must change with them, or old rows match nothing."""
    small = MinHash(shingle=2, bands=3, rows=2, seed=1)
    assert small.scheme == "2-word shingles of BLAKE2b words, 3 bands of 2 minima, seed 1, R-MinHash 2"
    assert sign(small, "the quick brown fox") == [[-1310500535, -270779946, -1545342288]]


def test_order_and_repetition_of_shingles_do_not_matter() -> None:
    one, other = sign(MinHash(2, 25, 5, 0), "to be to be to be", "be to be")
    assert one == other


def test_order_of_words_matters() -> None:
    one, other = sign(MINHASH, "dogs bite men", "men bite dogs")
    assert not set(one) & set(other)


def test_short_texts_are_one_shingle_and_empty_ones_none() -> None:
    empty, one, two, same = sign(MINHASH, "", "hello", "hello world", "hello world")
    assert (empty, len(one)) == ([], 25)
    assert two == same
    assert not set(one) & set(two)


def test_a_signature_depends_on_its_text_alone() -> None:
    texts = ["the quick brown fox", "", "hello", "quick brown", "the quick brown fox jumps"]
    together = sign(MINHASH, *texts)
    assert together == [signature for text in texts for signature in sign(MINHASH, text)]
    assert MINHASH.signatures(words(*texts)[2:]).to_pylist() == together[2:]


def test_no_text_gives_no_signature() -> None:
    assert MINHASH.signatures(words()).to_pylist() == []
    assert MINHASH.signatures(words()).type == pa.list_(pa.int32())


@pytest.mark.parametrize("shingle", [1, 3])
@pytest.mark.parametrize("common", [60, 80, 95])
def test_bands_collide_as_often_as_the_formula_says(common: int, shingle: int) -> None:
    """Two sets of Jaccard similarity j share a band of r minima with probability j^r (Broder 1997)."""
    draw = random.Random(7)
    texts = []
    for _ in range(150):
        same, one, other = ([f"w{draw.random()}" for _ in range(n)] for n in (common, 100 - common, 100 - common))
        texts += [" ".join(same + one), " ".join(same + other)]
    shared, size = common - shingle + 1, 100 - shingle + 1
    bands = sign(MinHash(shingle, bands=25, rows=5, seed=0), *texts)
    equal = [
        a == b for one, other in zip(bands[::2], bands[1::2], strict=True) for a, b in zip(one, other, strict=True)
    ]
    assert sum(equal) / len(equal) == pytest.approx((shared / (2 * size - shared)) ** 5, abs=0.04)


def test_another_seed_is_another_scheme() -> None:
    other = MinHash.of(Deduplication(seed=1))
    assert other.scheme != MINHASH.scheme
    assert sign(other, "the quick brown fox") != sign(MINHASH, "the quick brown fox")
