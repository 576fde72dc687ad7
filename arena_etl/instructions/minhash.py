"""MinHash signatures of word shingles: texts that share many shingles share a band of minima."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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
            f"{self.shingle}-word shingles of BLAKE2b words, {self.bands} bands of {self.rows} minima, seed {self.seed}, "
            f"R-MinHash {RMinHash.ALGORITHM_VERSION}"
        )

    def signatures(self, texts: pa.ListArray) -> pa.ListArray:
        """A 32-bit hash per band of each text, INTEGER[], out of its words, VARCHAR[]; no bands for a text without words,
        which resembles nothing.

        A band's hash is a sum of its minima with odd multipliers, of which the upper half counts (multilinear hashing,
        Lemire and Kaser 2014, arXiv 1202.4961). Two different bands collide once in 2^32.
        """
        from rensa import RMinHash

        shingles, counts = self._shingles(texts)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(
            shingles, _offsets(counts), num_perm=self.bands * self.rows, seed=self.seed
        )
        minima = np.array(matrix.to_rows(), np.uint64).reshape(-1, self.bands, self.rows)
        hashes = (minima @ _multipliers("band", self.rows) >> np.uint64(32)).astype(np.uint32).view(np.int32)
        some = counts > 0
        return pa.ListArray.from_arrays(
            pa.array(_offsets(some * self.bands), pa.int32()), pa.array(hashes[some].ravel())
        )

    def _shingles(self, texts: pa.ListArray) -> tuple[np.ndarray, np.ndarray]:
        """64-bit hashes of the runs of ``shingle`` words, text after text, and how many runs each text has.

        A shorter text is one run, and a text without words has none. Repeated runs stay: a minimum is the same with them. The
        hash of a run is a sum of its words' hashes with odd multipliers.
        """
        lengths = pc.list_value_length(texts).to_numpy()
        words = texts.flatten().dictionary_encode()
        digests = (hashlib.blake2b(word.encode(), digest_size=8).digest() for word in words.dictionary.to_pylist())
        hashes = np.frombuffer(b"".join(digests), "<u8")[words.indices.to_numpy()]
        left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(hashes))  # from this word to the end of its text
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(hashes, (0, self.shingle)), self.shingle)[:-1]
        inside = np.arange(self.shingle) < left[:, None]
        runs = np.where(inside, windows, np.uint64(0)) @ _multipliers("word", self.shingle)
        whole = left >= self.shingle
        first = left == np.repeat(lengths, lengths)
        return runs[whole | first], np.where(lengths > 0, np.maximum(lengths - self.shingle + 1, 1), 0)


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.append(0, np.cumsum(lengths))


def _multipliers(name: str, count: int) -> np.ndarray:
    digests = [hashlib.sha256(f"{name}/{number}".encode()).digest()[:8] for number in range(count)]
    return np.frombuffer(b"".join(digests), ">u8").astype(np.uint64) | np.uint64(1)
