"""A file, gzipped or not, as one stream of bytes that survives damage in the middle.

Decisions:
    Archives are gzip files of many members, one a record. Where a member is damaged the stream raises `DamageError`
    once and goes on with the next member that can be read: Python's `gzip` ends there, and everything behind a single
    bad byte would be lost. A file that ends too early ends the stream and sets `truncated`.
"""

import io
import zlib
from pathlib import Path
from typing import Any, Optional

CHUNK_BYTES = 1 << 16
_MAGIC = b"\x1f\x8b\x08"
_GZIP_WINDOW = 31  # zlib's number for "expect a gzip header"


class DamageError(Exception):
    """A stretch of the file cannot be inflated; the next read goes on behind it."""


class Inflated(io.RawIOBase):
    """The inflated bytes of the file at `path`; `truncated` after its end when it broke off."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._raw = self._file.read(CHUNK_BYTES)
        self._gzipped = self._raw.startswith(_MAGIC)
        self._member: Optional[Any] = None  # zlib's decompressor of the member under way
        self._resyncing = False
        self.truncated = False

    def readable(self) -> bool:
        """Return True: it is a stream to read."""
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer`; 0 at the end.

        Raises:
            DamageError: the member under way cannot be inflated; once for each damaged stretch.
        """
        data = self._next(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _next(self, most: int) -> bytes:
        if not self._gzipped:
            data = self._raw[:most] or self._file.read(most)
            self._raw = self._raw[most:]
            return data
        while True:
            if not self._raw:
                self._raw = self._file.read(CHUNK_BYTES)
                if not self._raw:
                    self.truncated = self.truncated or self._member is not None
                    return b""
            if self._member is None:
                # Zeros pad members in some files; what is no member is skipped as damage.
                self._raw = self._raw.lstrip(b"\x00")
                if not self._raw:
                    continue
                self._member = zlib.decompressobj(_GZIP_WINDOW)
            try:
                data = self._member.decompress(self._raw, most)
            except zlib.error as error:
                self._to_next_member()
                if not self._resyncing:
                    self._resyncing = True
                    raise DamageError(str(error)) from error
                continue
            if self._member.eof:
                self._raw, self._member = self._member.unused_data, None
            else:
                self._raw = self._member.unconsumed_tail
            if data:
                self._resyncing = False
                return data

    def _to_next_member(self) -> None:
        self._member = None
        rest = self._raw[1:]
        while True:
            at = rest.find(_MAGIC)
            if at >= 0:
                self._raw = rest[at:]
                return
            more = self._file.read(CHUNK_BYTES)
            if not more:
                self._raw = b""
                return
            rest = rest[-2:] + more
