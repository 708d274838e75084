"""The hash that identities are made of; no Beam here, since worker processes need it."""

import hashlib


def digest64(*parts: str) -> str:
    """Return 16 hex digits (64 bits of BLAKE2b) of `parts`; parts cannot run into one another."""
    pieces: list[bytes] = []
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        pieces += (len(data).to_bytes(8, "little"), data)
    return hashlib.blake2b(b"".join(pieces), digest_size=8).hexdigest()
