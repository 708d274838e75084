"""The body of an HTTP answer, decoded as it comes and never larger than it may be.

Decisions:
    Decompression goes in bounded steps (gzip, deflate): a cap on what came over the wire would not stop a bomb, and a
    cap after decompression comes too late. Both forms are capped, since empty gzip members can follow one another
    without end.

    Forgiven, because browsers do and real servers need it: a bare deflate stream, rubbish behind the end of a stream,
    a charset where the coding belongs. Not forgiven: a stream that is cut off, since half a feed may look like a whole.

Limits: one coding at a time; brotli and zstd are not asked for, and refused.
"""

import zlib
from typing import Any

from transforms.errors import RejectedError, mask_url

_KNOWN_CODINGS = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress", "dcb", "dcz", "bzip2"})


class BoundedBody:
    """Collects a body, decoding as it comes, and stops at `most_bytes` of either form."""

    def __init__(self, url: str, coding: str, most_bytes: int) -> None:
        self._url, self._coding, self._most_bytes = url, coding, most_bytes
        self._chunks: list[bytes] = []
        self._decoded_bytes = 0
        self._inflater: Any = None
        self._head = b""
        self._done = False
        self.bytes_on_wire = 0

    def feed(self, data: bytes) -> None:
        """Take what came next.

        Raises:
            RejectedError: too_large; bad_encoding, it is not what its header says.
        """
        self.bytes_on_wire += len(data)
        if self.bytes_on_wire > self._most_bytes:
            raise self._too_large()
        if not self._coding:
            self._chunks.append(data)
            return
        try:
            self._inflate(data)
        except zlib.error as error:
            raise self._bad_encoding(f"not {self._coding}, as its header says ({error})") from None

    def finish(self) -> bytes:
        """Return the whole body.

        Raises:
            RejectedError: bad_encoding, the compressed stream is cut off.
        """
        if self._coding and self.bytes_on_wire and not self._done:
            raise self._bad_encoding("cut off in the middle of its compressed stream")
        return b"".join(self._chunks)

    def _inflate(self, data: bytes) -> None:
        if self._inflater is None and not self._done:
            data = self._head = self._head + data
            if len(data) < 2:
                return
            self._inflater = zlib.decompressobj(self._window_bits(data))
        while data and not self._done:
            out = self._inflater.decompress(data, self._most_bytes - self._decoded_bytes + 1)
            self._decoded_bytes += len(out)
            if self._decoded_bytes > self._most_bytes:
                raise self._too_large()
            if out:
                self._chunks.append(out)
            data = self._inflater.unconsumed_tail
            if self._inflater.eof:
                data = self._inflater.unused_data
                if self._coding == "gzip" and data[:2] == b"\x1f\x8b":
                    self._inflater = zlib.decompressobj(31)  # RFC 1952, 2.2: members may follow one another
                else:
                    self._done = True  # padding and rubbish after the stream are ignored, as browsers do

    def _window_bits(self, head: bytes) -> int:
        if self._coding == "gzip":
            return 31
        # "deflate" means zlib (RFC 9110, 8.4.1.2), yet some servers send the bare stream.
        is_zlib = head[0] & 0x0F == 8 and int.from_bytes(head[:2], "big") % 31 == 0
        return 15 if is_zlib else -15

    def _too_large(self) -> RejectedError:
        return RejectedError(
            f"{mask_url(self._url)}: the body is larger than {self._most_bytes:,} bytes",
            reason="too_large",
            url=self._url,
        )

    def _bad_encoding(self, what: str) -> RejectedError:
        return RejectedError(f"{mask_url(self._url)}: the body is {what}", reason="bad_encoding", url=self._url)


def coding_of(values: list[str], url: str) -> str:
    """Return "gzip", "deflate" or ""; a token that names no coding (some servers put a charset there) is ignored.

    Raises:
        RejectedError: bad_encoding, for a coding that was not asked for, or several.
    """
    named = [name.strip().lower() for value in values for name in value.split(",")]
    codings = ["gzip" if name == "x-gzip" else name for name in named if name in _KNOWN_CODINGS]
    if not codings:
        return ""
    if len(codings) > 1 or codings[0] not in ("gzip", "deflate"):
        raise RejectedError(
            f"{mask_url(url)}: is encoded as {', '.join(codings)[:80]}; only gzip or deflate was asked for",
            reason="bad_encoding",
            url=url,
        )
    return codings[0]
