"""The body of an HTTP answer, decoded as it comes and never larger than it may be.

Decisions:
    Decompression goes in bounded steps (gzip, deflate, brotli, zstd): a cap on what came over the wire would not stop
    a bomb, and a cap after decompression comes too late. Both forms are capped, since empty streams can follow one
    another without end; how many streams there may be is capped as well, since each costs time and gives nothing.

    Forgiven, because browsers do and real servers need it: a bare deflate stream, rubbish behind the end of a stream,
    a charset where the coding belongs. Not forgiven: a stream that is cut off, since half a feed may look like a whole.

    zstd is held to the window of 8 MiB that senders are held to (RFC 9659), or a few bytes could claim 128 MiB.

Limits: one coding at a time. Rubbish behind a brotli stream is refused: its library gives no way to tell where the
stream ended, and curl refuses it too.
"""

import zlib
from typing import Any, Optional

import brotli
from backports import zstd

from transforms.errors import RejectedError, mask_url

ACCEPT_ENCODING = "gzip, deflate, br, zstd"
MOST_MEMBERS = 10_000  # blocked gzip has one for each 64 KB
BROTLI_STEP_BYTES = 64 * 1024
ZSTD_WINDOW_BITS = 23  # RFC 9659

_DECODED = ("gzip", "deflate", "br", "zstd")
_KNOWN_CODINGS = frozenset({*_DECODED, "x-gzip", "compress", "x-compress", "dcb", "dcz", "bzip2"})
_HEAD_BYTES = {"gzip": 2, "deflate": 2, "br": 1, "zstd": 4}  # what tells whether another stream begins, and its kind


class BoundedBody:
    """Collects a body, decoding as it comes, and stops at `most_bytes` of either form."""

    def __init__(self, url: str, coding: str, most_bytes: int) -> None:
        self._url, self._coding, self._most_bytes = url, coding, most_bytes
        self._chunks: list[bytes] = []
        self._decoded_bytes = 0
        self._decoder: Any = None
        self._members = 0
        self._head = b""
        self._only_rubbish_left = False
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
            self._decode(data)
        except (zlib.error, brotli.error, zstd.ZstdError) as error:
            raise self._bad_encoding(f"not {self._coding}, as its header says ({error})") from None

    def finish(self) -> bytes:
        """Return the whole body.

        Raises:
            RejectedError: bad_encoding, the compressed stream is cut off.
        """
        if self._coding and self.bytes_on_wire:
            is_whole = self._decoder.eof if self._decoder is not None else self._members > 0
            if not is_whole:
                raise self._bad_encoding("cut off in the middle of its compressed stream")
        return b"".join(self._chunks)

    def _decode(self, data: bytes) -> None:
        while data and not self._only_rubbish_left:
            if self._decoder is None:
                data = self._head + data
                if len(data) < _HEAD_BYTES[self._coding]:
                    self._head = data
                    return
                self._head = b""
                self._decoder = self._next_decoder(data)
                if self._decoder is None:
                    self._only_rubbish_left = True
                    return
            out = self._decoder.decompress(data, self._most_bytes - self._decoded_bytes + 1)
            self._decoded_bytes += len(out)
            if self._decoded_bytes > self._most_bytes:
                raise self._too_large()
            if out:
                self._chunks.append(out)
            if not self._decoder.eof or self._coding == "br":
                return
            data = self._decoder.unused_data
            self._decoder = None

    def _next_decoder(self, head: bytes) -> Optional[Any]:
        """Return what decodes the stream that begins with `head`; None when what follows a stream is not another."""
        if self._members and not _follows(self._coding, head):
            return None
        self._members += 1
        if self._members > MOST_MEMBERS:
            raise self._bad_encoding(f"more than {MOST_MEMBERS:,} streams of {self._coding} in a row")
        if self._coding == "br":
            return _BrotliDecoder()
        if self._coding == "zstd":
            return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_BITS})
        return zlib.decompressobj(_window_bits(self._coding, head))

    def _too_large(self) -> RejectedError:
        return RejectedError(
            f"{mask_url(self._url)}: the body is larger than {self._most_bytes:,} bytes",
            reason="too_large",
            url=self._url,
        )

    def _bad_encoding(self, what: str) -> RejectedError:
        return RejectedError(f"{mask_url(self._url)}: the body is {what}", reason="bad_encoding", url=self._url)


class _BrotliDecoder:
    """A brotli decoder of zlib's form: at most about `most` bytes are given out for what is put in."""

    unused_data = b""

    def __init__(self) -> None:
        self._brotli = brotli.Decompressor()

    @property
    def eof(self) -> bool:
        return bool(self._brotli.is_finished())

    def decompress(self, data: bytes, most: int) -> bytes:
        out, size = [], 0
        # can_accept_more_data() is true while output is held back; that none comes is the only sign of an end.
        while piece := self._brotli.process(data, output_buffer_limit=BROTLI_STEP_BYTES):
            out.append(piece)
            size += len(piece)
            if size >= most:
                break
            data = b""
        return b"".join(out)


def _follows(coding: str, head: bytes) -> bool:
    """Return whether `head`, found behind a stream, begins another. Source: RFC 1952, 2.2; RFC 8878, 3.1."""
    if coding == "gzip":
        return head[:2] == b"\x1f\x8b"
    is_skippable = 0x50 <= head[0] <= 0x5F and head[1:4] == b"\x2a\x4d\x18"
    return coding == "zstd" and (is_skippable or head[:4] == b"\x28\xb5\x2f\xfd")


def _window_bits(coding: str, head: bytes) -> int:
    """Return how zlib is to read a gzip or deflate stream that begins with `head`."""
    if coding == "gzip":
        return 31
    # "deflate" means zlib (RFC 9110, 8.4.1.2), yet some servers send the bare stream.
    is_zlib = head[0] & 0x0F == 8 and int.from_bytes(head[:2], "big") % 31 == 0
    return 15 if is_zlib else -15


def coding_of(values: list[str], url: str) -> str:
    """Return "gzip", "deflate", "br", "zstd" or "".

    A token that names no coding is ignored: some servers put a charset there.

    Raises:
        RejectedError: bad_encoding, for a coding that was not asked for, or several.
    """
    named = [name.strip().lower() for value in values for name in value.split(",")]
    codings = ["gzip" if name == "x-gzip" else name for name in named if name in _KNOWN_CODINGS]
    if not codings:
        return ""
    if len(codings) > 1 or codings[0] not in _DECODED:
        raise RejectedError(
            f"{mask_url(url)}: is encoded as {', '.join(codings)[:80]}; one of {', '.join(_DECODED)} was asked for",
            reason="bad_encoding",
            url=url,
        )
    return codings[0]
