"""A daemon whose QEMUs can be made to lose flushes of the base: they are told that they have flushed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.stack.daemon import Daemon
from harness.stack.view import Preload
from harness.trial.ground import Platform
from images.preload import preload

_SOURCE = Path(__file__).resolve().with_name("lost_flush.c")


def swallowing(platform: Platform) -> Daemon:
    """A daemon with the recorder, which sees of a flush that is swallowed as much as the disk does; enter it."""
    built = preload(_SOURCE, platform.ground.settings.cache.preloads)
    return platform.daemon(recorded=True, preloads=(Preload(built),))


@contextmanager
def swallowed(daemon: Daemon) -> Iterator[None]:
    """In the body, flushes of the image base are lost."""
    sign = daemon.record / "swallow"
    sign.touch()
    try:
        yield
    finally:
        sign.unlink()
