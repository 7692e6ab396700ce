"""What is seen inside, and what is preloaded there."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.stack.view import Isolation, Preload, loaded, view

RECORDER = Preload(Path("/cache/recorder.so"), everywhere=True)
ISOLATION = Isolation(preloads=(Preload(Path("/cache/saboteur.so")), RECORDER))


def test_what_is_preloaded_is_shown_read_only() -> None:
    options = view(ISOLATION)

    assert [options[at : at + 3] for at, word in enumerate(options) if word.startswith("/cache")] == [
        ["/cache/saboteur.so", "/chainproof/preload/0.so", "--ro-bind"],
        ["/cache/recorder.so", "/chainproof/preload/1.so"],
    ]
    assert options[options.index("/cache/saboteur.so") - 1] == "--ro-bind"


@pytest.mark.parametrize(
    ("by_daemon", "expected"),
    [(True, "/chainproof/preload/0.so:/chainproof/preload/1.so"), (False, "/chainproof/preload/1.so")],
)
def test_only_what_is_for_everything_is_loaded_by_others_than_libvirtd(*, by_daemon: bool, expected: str) -> None:
    assert loaded(ISOLATION, by_daemon=by_daemon) == expected


def test_nothing_is_preloaded_unless_it_is_named() -> None:
    assert loaded(Isolation(), by_daemon=True) == ""
