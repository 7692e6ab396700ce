"""What is built once: a directory in a cache, named by the hash of what it was built of, whole or not there."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import Unusable
from harness.keeping.directory import KeptDirectory, sweep
from harness.keeping.locks import locked, say
from harness.keeping.seal import damage, seal

SEAL = "seal.json"
_BUILDS = "build"
_LOCK_SECONDS = 900.0  # who holds it may download five packages


def made_once(cache: Path, digest: str, what: str, build: Callable[[Path], None]) -> Path:
    """The directory `digest` of `cache`, which `build` fills if it is not there, or is damaged.

    `what` is its name in messages. Raises Unusable if there is no room. Safe to call from several processes.
    """
    cache.mkdir(parents=True, exist_ok=True)
    directory = cache / digest
    with locked(cache / f"{digest}.lock", what, timeout=_LOCK_SECONDS):
        found = damage(directory, directory / SEAL) if directory.exists() else "it is not there"
        if found:
            if directory.exists():
                say(f"{what} is damaged, and is built anew: {found} (in {directory})")
                shutil.rmtree(directory)
            with _scratch(cache, what) as scratch:
                built = scratch / digest
                built.mkdir()
                build(built)
                seal(built, built / SEAL)
                built.rename(directory)
    return directory


@contextmanager
def _scratch(cache: Path, what: str) -> Iterator[Path]:
    """A directory to build in, on the cache's own file system; gone afterwards."""
    try:
        sweep(cache, _BUILDS)
        with KeptDirectory(cache, _BUILDS) as scratch:
            yield scratch.path
    except OSError as error:
        raise Unusable(
            f"cannot build {what} in {cache}: {error.strerror}", "make room there, or set CHAINPROOF_CACHE"
        ) from error
