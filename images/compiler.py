"""Compiles what is ours and in C, by a small compiler and C library: unpacked, not installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.process import run

COMPILER = "tcc"
LIBRARY = "musl-dev"


def compile_static(source: Path, out: Path, unpacked: Path) -> None:
    """Compile one C file into the program `out`; below `unpacked` lie the files of COMPILER and LIBRARY.

    Raises CommandFailed with the compiler's words if the source is wrong; a warning is an error.
    """
    support, library = _support(unpacked), _library(unpacked)
    objects = [*(library / name for name in ("crt1.o", "crti.o")), source]
    objects += [library / "libc.a", support / "libtcc1.a", library / "crtn.o"]
    _compile(["-static"], objects, out, unpacked)


def compile_shared(source: Path, out: Path, unpacked: Path) -> None:
    """Compile one C file into the shared object `out`, linked with nothing; as `compile_static` else."""
    _compile(["-shared"], [source], out, unpacked)


def _support(unpacked: Path) -> Path:
    return next(unpacked.glob("usr/lib/*/tcc"))


def _library(unpacked: Path) -> Path:
    return next(unpacked.glob("usr/lib/*-linux-musl"))


def _compile(how: Sequence[str], objects: Sequence[Path], out: Path, unpacked: Path) -> None:
    support = _support(unpacked)
    command = [
        str(unpacked / "usr/bin/tcc"),
        f"-B{support}",
        *("-Wall", "-Werror", *how, "-nostdinc", "-nostdlib"),
        f"-I{unpacked / 'usr/include' / _library(unpacked).name}",
        f"-I{support / 'include'}",
        *("-o", str(out)),
        *map(str, objects),
    ]
    run(command, timeout=60).check()
