"""What a file was when it was first there is kept, and a change of it is told."""

from __future__ import annotations

from pathlib import Path

from harness.journal import Journal, Kind
from harness.trial.files import Files


def after_an_act(files: Files, kind: Kind = Kind.ACT) -> None:
    journal = Journal()
    journal.listeners.append(files.after)
    journal.complete(journal.begin(kind, "it is done", act={"act": "It"}))


def test_a_file_stays_what_it_was_while_its_bytes_change(tmp_path: Path) -> None:
    files, image = Files(tmp_path), tmp_path / "base.qcow2"
    image.touch(0o600)
    after_an_act(files)
    image.write_bytes(b"more")
    after_an_act(files)

    assert list(files.changed()) == []


def test_another_mode_and_another_file_under_its_name_are_changes(tmp_path: Path) -> None:
    files = Files(tmp_path)
    for name in ("base.qcow2", "sn1.qcow2"):
        (tmp_path / name).touch(0o600)
    after_an_act(files)
    (tmp_path / "base.qcow2").chmod(0o666)
    (tmp_path / "new").touch(0o600)
    (tmp_path / "new").rename(tmp_path / "sn1.qcow2")

    (base, was, now), (sn1, one, other) = files.changed()
    assert (base, was.mode, now.mode) == ("base.qcow2", "-rw-------", "-rw-rw-rw-")
    assert (sn1, one.mode, one.inode == other.inode) == ("sn1.qcow2", other.mode, False)


def test_one_that_was_removed_may_be_made_anew(tmp_path: Path) -> None:
    files, image = Files(tmp_path), tmp_path / "copy.qcow2"
    image.touch(0o600)
    after_an_act(files)
    image.unlink()
    after_an_act(files)
    image.touch(0o644)
    after_an_act(files)

    assert list(files.changed()) == []


def test_it_does_not_look_while_libvirt_is_at_work(tmp_path: Path) -> None:
    """An event is entered by another thread, in the middle of a call."""
    files, image = Files(tmp_path), tmp_path / "cur.qcow2"
    image.touch(0o644)
    journal = Journal()
    journal.listeners.append(files.after)
    journal.record(Kind.EVENT, "libvirt: an event")
    image.chmod(0o600)
    after_an_act(files)

    assert list(files.changed()) == []
