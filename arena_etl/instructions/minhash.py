"""MinHash signatures of word shingles: texts that share many shingles share a band of minima."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import pyarrow as pa

from arena_etl.config import Deduplication


@dataclass(frozen=True)
class MinHash:
    """Signatures of ``bands`` bands of ``rows`` minima each, over shingles of ``shingle`` words."""

    shingle: int
    bands: int
    rows: int
    seed: int

    @classmethod
    def of(cls, settings: Deduplication) -> "MinHash":
        return cls(settings.shingle, settings.bands, settings.band_rows, settings.seed)

    @property
    def scheme(self) -> str:
        """Names everything that a signature depends on: only signatures of one scheme may be compared."""
        from rensa import RMinHash

        return (
            f"{self.shingle}-word shingles, {self.bands} bands of {self.rows} minima, seed {self.seed}, "
            f"R-MinHash {RMinHash.ALGORITHM_VERSION}"
        )

    def shingles(self, words: list[str]) -> list[str]:
        """The runs of ``shingle`` words, repeated ones too: a minimum is the same with them, and making a set takes longer.

        A shorter text is one shingle, and a text without words has none.
        """
        size = self.shingle
        if len(words) <= size:
            return [" ".join(words)] if words else []
        return list(map(" ".join, zip(*(words[start:] for start in range(size)), strict=False)))

    def signatures(self, texts: Iterable[list[str]]) -> pa.ListArray:
        """A 32-bit hash per band of each text, INTEGER[]; no bands for a text without words, which resembles nothing.

        A band's hash is a sum of its minima with odd multipliers, of which the upper half counts (multilinear hashing,
        Lemire and Kaser 2014, arXiv 1202.4961). Two different bands collide once in 2^32.
        """
        import numpy as np
        from rensa import RMinHash

        shingles = [self.shingles(words) for words in texts]
        matrix = RMinHash.digest_matrix_from_token_sets(shingles, num_perm=self.bands * self.rows, seed=self.seed)
        minima = np.array(matrix.to_rows(), np.uint64).reshape(-1, self.bands, self.rows)
        sums = (minima * np.array(_multipliers(self.rows), np.uint64)).sum(axis=2, dtype=np.uint64)
        hashes = (sums >> np.uint64(32)).astype(np.uint32).view(np.int32)
        some = np.array([bool(each) for each in shingles], bool)
        return pa.ListArray.from_arrays(_offsets(some * self.bands), pa.array(hashes[some].ravel()))


def _offsets(lengths: Iterable[int]) -> pa.Array:
    return pa.array(accumulate(lengths, initial=0), pa.int32())


def _multipliers(count: int) -> list[int]:
    digests: list[Any] = [hashlib.sha256(f"band/{row}".encode()).digest() for row in range(count)]
    return [int.from_bytes(digest[:8], "big") | 1 for digest in digests]
