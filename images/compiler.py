"""Compiles the guest's own program, statically, by a small compiler and C library: unpacked, not installed."""

from __future__ import annotations

from pathlib import Path

from harness.process import run

COMPILER = "tcc"
LIBRARY = "musl-dev"


def compile_static(source: Path, out: Path, unpacked: Path) -> None:
    """Compile one C file into the program `out`; below `unpacked` lie the files of COMPILER and LIBRARY.

    Raises CommandFailed with the compiler's words if the source is wrong; a warning is an error.
    """
    support = next(unpacked.glob("usr/lib/*/tcc"))
    library = next(unpacked.glob("usr/lib/*-linux-musl"))
    command = [
        str(unpacked / "usr/bin/tcc"),
        f"-B{support}",
        *("-Wall", "-Werror", "-static", "-nostdinc", "-nostdlib"),
        f"-I{unpacked / 'usr/include' / library.name}",
        f"-I{support / 'include'}",
        *("-o", str(out)),
        *(str(library / name) for name in ("crt1.o", "crti.o")),
        str(source),
        *(str(file) for file in (library / "libc.a", support / "libtcc1.a", library / "crtn.o")),
    ]
    run(command, timeout=60).check()
