"""Builds shared objects for LD_PRELOAD, each of one C file, by the small compiler that the guest's program takes."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from images.compiler import COMPILER, LIBRARY, compile_shared
from images.kept import made_once
from images.packages import candidates, unpack

_OBJECT = "preload.so"
_RECIPE = [Path(__file__).resolve().with_name(name) for name in ("preload.py", "compiler.py")]


def preload(source: Path, cache: Path) -> Path:
    """The shared object made of the one C file `source`, from `cache` if it is there, else built now (a second or two).

    It may use musl's headers, and of the C library what its users have: it is linked with nothing. So that one object
    loads in every release, that should be old symbols only (syscall(), say). Raises Unusable where the compiler cannot
    be had, CommandFailed if the source is wrong. Safe to call from several processes.
    """
    versions = candidates((COMPILER, LIBRARY))
    text = hashlib.sha256(json.dumps(versions, sort_keys=True).encode())
    for file in (source, *_RECIPE):
        text.update(file.read_bytes())

    def build(out: Path) -> None:
        for name, version in versions.items():
            unpack(f"{name}={version}", out / "packages", out / "unpacked")
        compile_shared(source, out / _OBJECT, out / "unpacked")
        for done in ("packages", "unpacked"):
            shutil.rmtree(out / done)

    return made_once(cache, text.hexdigest()[:16], source.name, build) / _OBJECT
