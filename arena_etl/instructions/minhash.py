"""MinHash signatures of word shingles: texts that share many shingles share a band of minima."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
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

    def shingles(self, words: list[str]) -> set[str]:
        """The distinct runs of ``shingle`` words; a shorter text is one shingle, and a text without words has none."""
        size = self.shingle
        if len(words) <= size:
            return {" ".join(words)} if words else set()
        return {" ".join(words[start : start + size]) for start in range(len(words) - size + 1)}

    def hashes(self, texts: Iterable[list[str]]) -> pa.ListArray:
        """The 64-bit hashes of the distinct shingles of each text, UBIGINT[]."""
        from rensa import RMinHash

        hashed: list[list[int]] = RMinHash.hash_token_sets([self.shingles(words) for words in texts])
        return pa.array(hashed, pa.list_(pa.uint64()))

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
        offsets = np.cumsum([0, *(self.bands if each else 0 for each in shingles)])
        return pa.ListArray.from_arrays(
            pa.array(offsets, pa.int32()), pa.array(hashes[[bool(each) for each in shingles]].ravel())
        )


def _multipliers(count: int) -> list[int]:
    digests: list[Any] = [hashlib.sha256(f"band/{row}".encode()).digest() for row in range(count)]
    return [int.from_bytes(digest[:8], "big") | 1 for digest in digests]
