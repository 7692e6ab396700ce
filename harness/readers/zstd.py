"""zstd, by the library that QEMU itself needs (libzstd.so.1): no Python before 3.14 has it.

ctypes, and not a Python package: wherever QEMU can write such a cluster, the library is there.
"""

from __future__ import annotations

import ctypes
from functools import cache


class ZstdError(Exception):
    """Data that is no zstd frame, or more than was allowed."""


class NoZstd(ZstdError):
    """The library is not installed."""

    def __init__(self) -> None:
        super().__init__("it is compressed with zstd, and libzstd.so.1 is not installed (package libzstd1 or libzstd)")


def decompress(packed: bytes, size: int) -> bytes:
    """At most `size` bytes, from the frames at the start of `packed`, as many as it takes; what follows is ignored.

    No more memory than that is used, whatever window a frame asks for. Raises ZstdError, or NoZstd.
    """
    library = _library()
    result = ctypes.create_string_buffer(size)
    done = at = 0
    while done < size:
        rest = packed[at:]
        length = _checked(library, library.ZSTD_findFrameCompressedSize(rest, len(rest)))
        into = ctypes.byref(result, done)
        gained = _checked(library, library.ZSTD_decompress(into, size - done, rest, length))
        if gained == 0:  # a skippable frame, or an empty one: QEMU writes neither
            raise ZstdError("a frame is empty")
        done, at = done + gained, at + length
    return result.raw[:done]


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libzstd.so.1")
    except OSError:
        raise NoZstd from None
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    library.ZSTD_findFrameCompressedSize.restype = size
    library.ZSTD_findFrameCompressedSize.argtypes = [ctypes.c_char_p, size]
    library.ZSTD_decompress.restype = size
    library.ZSTD_decompress.argtypes = [pointer, size, ctypes.c_char_p, size]
    library.ZSTD_isError.restype = ctypes.c_uint
    library.ZSTD_isError.argtypes = [size]
    library.ZSTD_getErrorName.restype = ctypes.c_char_p
    library.ZSTD_getErrorName.argtypes = [size]
    return library


def _checked(library: ctypes.CDLL, answer: int) -> int:
    if library.ZSTD_isError(answer):
        raise ZstdError(bytes(library.ZSTD_getErrorName(answer)).decode(errors="replace"))
    return int(answer)
