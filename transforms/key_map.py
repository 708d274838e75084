"""Sets and maps of 64-bit keys: the lake's memory of what it holds, eight to sixteen bytes a key.

Decisions:
    A sorted numpy array answers a thousand look-ups in a fraction of a millisecond and takes 8 bytes a key where a
    Python dict takes about 150. New keys go into a small dict first and are merged into the array when that grows, so
    a commit costs what it brings, not what the lake holds.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from transforms.records import digest64

Keys = np.ndarray  # uint64, one dimension

_MERGE_AT = 20_000  # recent keys; a merge of 1,000,000 keys takes about 60 ms, so once in 20,000 keys is 3 us a key


def key_of(identifier: str) -> int:
    """Return the 64-bit key of an id: its value when it is 16 hex digits, else a hash of it."""
    if len(identifier) == 16:
        try:
            return int.from_bytes(bytes.fromhex(identifier), "big")
        except ValueError:
            pass
    return int(digest64(identifier), 16)


def keys_of(identifiers: Any) -> Keys:
    """Return the keys of a column of ids (a pyarrow array, chunked or not, or a sequence of str)."""
    values = identifiers.to_pylist() if isinstance(identifiers, pa.ChunkedArray | pa.Array) else list(identifiers)
    joined = "".join(value or "" for value in values)
    if len(joined) == 16 * len(values) and all(value and len(value) == 16 for value in values):
        try:
            return np.frombuffer(bytes.fromhex(joined), dtype=">u8").astype(np.uint64)
        except ValueError:
            pass
    return np.fromiter((key_of(value or "") for value in values), dtype=np.uint64, count=len(values))


def mix(left: Any, right: Any) -> Any:
    """Return the key of a pair of keys (ints or arrays of uint64): order matters, 64 bits out."""
    a, b = np.asarray(left, dtype=np.uint64), np.asarray(right, dtype=np.uint64)
    with np.errstate(over="ignore"):
        # A multiply-xorshift round of the kind splitmix64 uses spreads the left key before the right one is added.
        h = a * np.uint64(0x9E3779B97F4A7C15)
        h ^= h >> np.uint64(29)
        h = (h + b) * np.uint64(0xBF58476D1CE4E5B9)
        h ^= h >> np.uint64(32)
    return h


class KeyMap:
    """A map of 64-bit keys to 64-bit integers in which the greatest value given for a key holds.

    Adding the same pairs again changes nothing, so reading a file twice, or after a compaction, is harmless.
    """

    def __init__(self) -> None:
        self._keys: Keys = np.empty(0, dtype=np.uint64)
        self._values = np.empty(0, dtype=np.int64)
        self._recent: dict[int, int] = {}

    def __len__(self) -> int:
        self._merge()
        return len(self._keys)

    @property
    def memory_bytes(self) -> int:
        """Bytes held by the arrays and, at about 100 a key, by the recent keys."""
        return int(self._keys.nbytes + self._values.nbytes + 100 * len(self._recent))

    def add(self, keys: Keys | Sequence[int], values: Any) -> None:
        """Add keys (uint64) with their values (int64, or one int for all)."""
        keys = np.asarray(keys, dtype=np.uint64)
        values = np.broadcast_to(np.asarray(values, dtype=np.int64), keys.shape)
        if len(keys) > _MERGE_AT:
            self._merge()
            self._merge_arrays(keys, values)
            return
        recent = self._recent
        for key, value in zip(keys.tolist(), values.tolist(), strict=True):
            if recent.get(key, -1 << 63) < value:
                recent[key] = value
        if len(recent) > _MERGE_AT:
            self._merge()

    def get(self, keys: Iterable[int] | Keys, default: int = 0) -> np.ndarray:
        """Return the value of each key as int64; `default` for a key that is not there."""
        wanted = keys if isinstance(keys, np.ndarray) else np.fromiter(keys, dtype=np.uint64)
        wanted = wanted.astype(np.uint64, copy=False)
        out = np.full(len(wanted), default, dtype=np.int64)
        if len(self._keys):
            at = np.searchsorted(self._keys, wanted)
            at[at == len(self._keys)] = 0
            found = self._keys[at] == wanted
            out[found] = self._values[at[found]]
        if self._recent:
            for i, key in enumerate(wanted.tolist()):
                value = self._recent.get(key)
                if value is not None and (value > out[i] or not self._holds(key)):
                    out[i] = value
        return out

    def get_one(self, key: int, default: int = 0) -> int:
        """Return the value of one key."""
        return int(self.get(np.array([key], dtype=np.uint64), default)[0])

    def holds(self, keys: Iterable[int] | Keys) -> np.ndarray:
        """Return for each key whether it is there (bool)."""
        return self.get(keys, default=-(1 << 63)) != -(1 << 63)

    def _holds(self, key: int) -> bool:
        wanted = np.uint64(key)
        at = int(np.searchsorted(self._keys, wanted))
        return at < len(self._keys) and bool(self._keys[at] == wanted)

    def _merge(self) -> None:
        if self._recent:
            count = len(self._recent)
            keys = np.fromiter(self._recent.keys(), dtype=np.uint64, count=count)
            values = np.fromiter(self._recent.values(), dtype=np.int64, count=count)
            self._recent = {}
            self._merge_arrays(keys, values)

    def _merge_arrays(self, keys: Keys, values: np.ndarray) -> None:
        all_keys = np.concatenate([self._keys, keys])
        all_values = np.concatenate([self._values, values])
        order = np.lexsort((all_values, all_keys))
        all_keys, all_values = all_keys[order], all_values[order]
        last = np.append(all_keys[1:] != all_keys[:-1], True) if len(all_keys) else np.empty(0, dtype=bool)
        self._keys, self._values = all_keys[last], all_values[last]
