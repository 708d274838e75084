"""What the memories of rows share: order of arrival, columns as lists, arrays that grow, languages as numbers."""

from collections.abc import Sequence
from typing import Any, Optional
from zlib import crc32

import numpy as np
import numpy.typing as npt

from transforms.records import Draft

UNKNOWN_LANGUAGE = -1


def arrival(batch: Sequence[Draft]) -> list[int]:
    """Return the places of `batch` in order of arrival."""
    return sorted(range(len(batch)), key=lambda n: (batch[n].first_seen_at, batch[n].article_id))


def as_list(column: Any) -> list[Any]:
    """Return a column as a list of Python values, from a list, a numpy array or an Arrow array."""
    for method in ("to_pylist", "tolist"):
        if hasattr(column, method):
            return list(getattr(column, method)())
    return list(column)


def language_code(language: Optional[str]) -> int:
    """Return a number for the primary subtag of a language tag ("en" of "en-GB"); -1 where there is none."""
    primary = (language or "").replace("_", "-").partition("-")[0].lower()
    return crc32(primary.encode()) & 0x7FFFFFFF if primary and primary != "und" else UNKNOWN_LANGUAGE


def grown(array: npt.NDArray[Any], used: int, more: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return `array` with `more` behind its first `used` rows; capacity doubles, so that appending stays cheap."""
    need = used + len(more)
    if need == used:
        return array
    if need > len(array):
        bigger = np.zeros((max(need, len(array) * 2), *more.shape[1:]), dtype=more.dtype)
        bigger[:used] = array[:used]
        array = bigger
    array[used:need] = more
    return array
