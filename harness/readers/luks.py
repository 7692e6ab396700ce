"""LUKS, version 1, read with no code of QEMU's: its header, and sectors as they are without their encryption.

After the LUKS1 on-disk format specification, version 1.2.3, and QEMU's crypto/block-luks.c; the ciphers are those of
the library cryptography.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher as Aes
from cryptography.hazmat.primitives.ciphers import algorithms, modes

from harness.errors import ImageError, in_one_line
from harness.oracle.geometry import SECTOR
from harness.oracle.secret import SECRETS, passphrase
from harness.readers.extents import OpenFile

MAGIC = b"LUKS\xba\xbe"
_HEADER = struct.Struct(">6sH32s32s32sII20s32sI40s")
_SLOT = struct.Struct(">II32sII")
_SLOTS, _ENABLED = 8, 0x00AC71F3
_HASHES = ("sha1", "sha256", "sha512")
_LONGEST_KEY, _MOST_STRIPES = 64, 4000
ITERATIONS = 1 << 21
"""How often the keys of an image are worked on at most, all together: half a second."""

_known: dict[bytes, tuple[str, Cipher]] = {}
"""What opens images, by their headers, whose salts are of no other image: it takes a tenth of a second."""


@dataclass(frozen=True)
class _Slot:
    """A place of the key: `stripes` times its length of bytes from byte `offset` of the header on."""

    iterations: int
    salt: bytes
    offset: int
    stripes: int


@dataclass(frozen=True)
class _Header:
    """What a header says of the key; `payload` is the byte at which the data begin."""

    hash: str
    payload: int
    key_bytes: int
    digest: bytes
    digest_salt: bytes
    digest_iterations: int
    slots: tuple[_Slot, ...]


@dataclass(frozen=True)
class Cipher:
    """AES in XTS mode, whose tweak is the number of the sector ("plain64"); `payload` as in the header."""

    key: bytes
    payload: int = 0

    def decrypted(self, data: bytes, sector: int) -> bytes:
        """Whole sectors as they are without the encryption; `sector` is the number of the first one."""
        return b"".join(
            self._sector(data[at : at + SECTOR], number)
            for number, at in enumerate(range(0, len(data), SECTOR), sector)
        )

    def _sector(self, data: bytes, number: int) -> bytes:
        tweak = struct.pack("<QQ", number, 0)
        return Aes(algorithms.AES(self.key), modes.XTS(tweak)).decryptor().update(data)


class Decrypted:
    """A file whose sectors from byte `payload` on are encrypted, read from there as if they were not."""

    def __init__(self, file: OpenFile, cipher: Cipher, payload: int = 0) -> None:
        self._file = file
        self._cipher = cipher
        self._payload = payload

    @property
    def size(self) -> int:
        """Bytes from `payload` on."""
        return max(0, self._file.size - self._payload)

    def read_padded(self, offset: int, length: int, what: str) -> bytes:
        """As that of OpenFile: what the file does not have are zeros, before they are decrypted."""
        first = offset // SECTOR
        end = -(-(offset + length) // SECTOR) * SECTOR
        data = self._file.read_padded(self._payload + first * SECTOR, end - first * SECTOR, what)
        skipped = offset - first * SECTOR
        return self._cipher.decrypted(data, first)[skipped : skipped + length]


def unlocked(file: OpenFile, at: int = 0) -> tuple[str, Cipher]:
    """The secret that opens the header of LUKS at byte `at` of a file, and what decrypts its sectors then.

    Raises ImageError if none of SECRETS does, or if the header is none that is known.
    """
    header = file.read(at, _HEADER.size + _SLOTS * _SLOT.size, "the header of LUKS")
    found = _known.get(header) or _opened(_read(header, file.image), file, at)
    if found is None:
        raise ImageError(file.image, "is encrypted (LUKS), and none of the known secrets opens it")
    _known[header] = found
    return found


def _opened(header: _Header, file: OpenFile, at: int) -> tuple[str, Cipher] | None:
    for secret in SECRETS:
        for slot in header.slots:
            key = _key(header, slot, file, at, passphrase(secret).encode())
            salt, rounds = header.digest_salt, header.digest_iterations
            if hashlib.pbkdf2_hmac(header.hash, key, salt, rounds, len(header.digest)) == header.digest:
                return secret, Cipher(key, header.payload)
    return None


def _read(header: bytes, image: str) -> _Header:
    magic, version, cipher, mode, spec, payload, key_bytes, digest, salt, iterations, _ = _HEADER.unpack_from(header)
    if magic != MAGIC or version != 1:
        raise ImageError(image, f"has no header of LUKS 1: it begins with {header[:8].hex(' ')}")
    names = [name.rstrip(b"\0").decode(errors="replace") for name in (cipher, mode, spec)]
    if names[:2] != ["aes", "xts-plain64"] or names[2] not in _HASHES:
        raise ImageError(image, f"is encrypted by {in_one_line(' '.join(names))}; aes xts-plain64 is known")
    slots = []
    for number in range(_SLOTS):
        state, rounds, slot_salt, offset, stripes = _SLOT.unpack_from(header, _HEADER.size + number * _SLOT.size)
        if state == _ENABLED:
            slots.append(_Slot(rounds, slot_salt, offset * SECTOR, stripes))
    rounds = [iterations, *(slot.iterations for slot in slots)]
    most_stripes = max((slot.stripes for slot in slots), default=1)
    if key_bytes not in (32, _LONGEST_KEY) or not 0 < most_stripes <= _MOST_STRIPES or 0 in rounds:
        raise ImageError(image, f"has a key of {key_bytes} bytes in {most_stripes} stripes, which cannot be")
    if sum(rounds) > ITERATIONS:
        raise ImageError(image, f"wants its keys worked on {sum(rounds)} times; up to {ITERATIONS} are done")
    return _Header(names[2], payload * SECTOR, key_bytes, digest, salt, iterations, tuple(slots))


def _key(header: _Header, slot: _Slot, file: OpenFile, at: int, phrase: bytes) -> bytes:
    """What a slot has for the key if this is its passphrase."""
    opens = hashlib.pbkdf2_hmac(header.hash, phrase, slot.salt, slot.iterations, header.key_bytes)
    length = header.key_bytes * slot.stripes
    material = file.read(at + slot.offset, -(-length // SECTOR) * SECTOR, "a key slot of LUKS")
    return _merged(Cipher(opens).decrypted(material, 0)[:length], header)


def _merged(split: bytes, header: _Header) -> bytes:
    """The key that was split into stripes (the specification's AFmerge)."""
    size = header.key_bytes
    *stripes, last = (split[at : at + size] for at in range(0, len(split), size))
    merged = bytes(size)
    for stripe in stripes:
        merged = _diffused(_xor(merged, stripe), header.hash)
    return _xor(merged, last)


def _diffused(block: bytes, name: str) -> bytes:
    size = hashlib.new(name).digest_size
    return b"".join(
        hashlib.new(name, struct.pack(">I", number) + block[at : at + size]).digest()[: len(block) - at]
        for number, at in enumerate(range(0, len(block), size))
    )


def _xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one) ^ int.from_bytes(other)).to_bytes(len(one))
