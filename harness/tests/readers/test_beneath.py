"""Nothing outside the images' directory is opened, whatever names a header or a link has for it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from harness.errors import ImageError
from harness.oracle.image import Raw
from harness.readers import beneath, extents
from harness.readers.extents import opened
from harness.readers.own import Reader
from harness.storage.images import image_at
from harness.tests.oracle.tools import create, needs_qemu_img, qemu_img
from harness.waiting import now

SECRET = b"secret".ljust(65536, b"!")

Place = Callable[[Path], str]
"""Puts something into a directory of images; how a header there names it."""


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """The images' directory; beside it lies a secret."""
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "images" / "below").mkdir(parents=True)
    return tmp_path / "images"


def link_to(target: str) -> Place:
    def place(images: Path) -> str:
        (images / "link").symlink_to(target.format(images=images))
        return "link"

    return place


def linked_directory(images: Path) -> str:
    (images / "up").symlink_to("..")
    return "up/secret"


def link_of_a_process(images: Path) -> str:
    (images / "link").symlink_to(f"/proc/{os.getpid()}/root{images.parent}/secret")
    return "link"


def loop(images: Path) -> str:
    (images / "link").symlink_to("link")
    return "link"


def fifo(images: Path) -> str:
    os.mkfifo(images / "fifo")
    return "fifo"


def unix_socket(images: Path) -> str:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(images)
        try:
            server.bind("socket")
        finally:
            os.chdir(here)
    return "socket"


LEAVES = r"(its name or a link leads out of|it lies outside) \S+/images \(the header of \S+/image.qcow2 names it\)$"
REFUSED: dict[str, tuple[Place, str]] = {
    "relative": (lambda _: "../secret", LEAVES),
    "relative, from below": (lambda _: "below/../../secret", LEAVES),
    "absolute": (lambda images: f"{images.parent}/secret", LEAVES),
    "absolute, by way of the directory": (lambda images: f"{images}/../secret", LEAVES),
    "a directory whose name begins alike": (lambda images: f"{images}-of-another/base", LEAVES),
    "link": (link_to("../secret"), LEAVES),
    "absolute link": (link_to("{images}/../secret"), LEAVES),
    "linked directory": (linked_directory, LEAVES),
    "link of a process": (link_of_a_process, LEAVES),
    "loop": (loop, "it is a link that leads to itself"),
    "FIFO": (fifo, "is no regular file: it is a FIFO"),
    "socket": (unix_socket, "is no regular file: it is a socket"),
    "directory": (lambda _: "below", "is no regular file: it is a directory"),
    "device": (lambda _: "/dev/zero", LEAVES),
    "too long a name": (lambda _: "x" * 300, "File name too long"),
}


def over(images: Path, name: str) -> Path:
    """A header that names a raw backing file."""
    image = create(images / "image.qcow2", "64k")
    qemu_img("rebase", "-u", "-F", "raw", "-b", name, image)
    return image


@needs_qemu_img
@pytest.mark.parametrize(("place", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_a_backing_file_that_is_no_file_among_the_images_is_refused(images: Path, place: Place, words: str) -> None:
    image = over(images, place(images))

    began = now()
    for reader in (Reader(Path, images), Reader(Path)):
        for method in (reader.shows, reader.chain):
            with pytest.raises(ImageError, match=words):
                method(image_at(str(image)))
    assert now() - began < 1.0


ESCAPES = ["relative", "relative, from below", "absolute", "link", "absolute link", "linked directory"]


@needs_qemu_img
@pytest.mark.parametrize("place", [REFUSED[name][0] for name in ESCAPES], ids=ESCAPES)
def test_the_names_do_lead_to_the_secret(images: Path, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is refused above is read by a reader that opens names as they come."""
    monkeypatch.setattr(extents, "open_beneath", lambda _, path, __: os.open(path, os.O_RDONLY))
    image = over(images, place(images))

    assert Reader(Path, images).shows(image_at(str(image))) == SECRET


@needs_qemu_img
@pytest.mark.parametrize("by_link", [False, True], ids=["named", "by a link"])
def test_an_external_data_file_elsewhere_is_refused(images: Path, by_link: bool) -> None:
    data = images / "image.data" if by_link else images / "../image.data"
    image = create(images / "image.qcow2", "64k", f"data_file={data}")
    if by_link:
        data.unlink()
        data.symlink_to("../secret")

    with pytest.raises(ImageError, match=LEAVES):
        Reader(Path, images).own(image_at(str(image)))


@needs_qemu_img
@pytest.mark.parametrize(
    "name",
    [
        *("base.raw", "./base.raw", "below/../base.raw", "{images}/base.raw", "../images/base.raw", "link"),
        *("../../{parent}/images/base.raw", "{images}/../images//base.raw", "down/base.raw"),
    ],
)
def test_a_file_among_the_images_is_read_whatever_it_is_called(images: Path, name: str) -> None:
    (images / "base.raw").write_bytes(SECRET)
    (images / "below" / "base.raw").write_bytes(SECRET)
    (images / "link").symlink_to("below/../base.raw")
    (images / "down").symlink_to("below")
    image = over(images, name.format(images=images, parent=images.parent.name))

    assert Reader(Path, images).shows(image_at(str(image))) == SECRET


def test_an_image_that_is_asked_for_by_a_path_outside_is_refused(images: Path) -> None:
    (images / "link").symlink_to("../secret")
    reader = Reader(Path, images)

    for path in (images.parent / "secret", images / "link", images / "../secret", Path("/dev/zero"), images):
        with pytest.raises(ImageError, match=str(path)):
            reader.shows(image_at(str(path), Raw()))
    assert Reader(Path).shows(image_at(str(images.parent / "secret"), Raw())) == SECRET  # its own directory is


def test_a_path_that_cannot_be_resolved_is_an_image_error(images: Path) -> None:
    """Sandbox.outside raises ValueError for what only the sandbox sees."""

    def resolve(path: os.PathLike[str]) -> Path:
        return images / Path(path).relative_to("/export/images")

    with pytest.raises(ImageError, match=r"^/etc/passwd: cannot be opened: '/etc/passwd' is not in"):
        Reader(resolve, images).own(image_at("/etc/passwd", Raw()))
    passwd, image = PurePosixPath("/etc/passwd"), PurePosixPath("/export/images/base.qcow2")
    assert not Reader(resolve, images).same_file(passwd, image)


@pytest.fixture
def old_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(root: int, name: str) -> int:
        raise OSError(errno.ENOSYS, f"{root} {name}")

    monkeypatch.setattr(beneath, "_openat2", absent)


@needs_qemu_img
@pytest.mark.usefixtures("old_kernel")
@pytest.mark.parametrize("place", [place for place, _ in REFUSED.values()], ids=REFUSED.keys())
def test_without_openat2_no_more_is_opened(images: Path, place: Place) -> None:
    image = over(images, place(images))

    with pytest.raises(ImageError):
        Reader(Path, images).shows(image_at(str(image)))
    (images / "below" / "base.raw").write_bytes(SECRET)
    with opened(images / "below/base.raw", "base", images) as file:
        assert file.read(0, 65536, "all") == SECRET


@pytest.mark.parametrize("kind", ["chr", "blk"])
def test_a_device_among_the_images_is_not_opened(images: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Making one takes root: here it is what fstat says of a file."""
    (images / "device").write_bytes(SECRET)
    true = os.fstat
    mode = {"chr": 0o020644, "blk": 0o060644}[kind]
    monkeypatch.setattr(os, "fstat", lambda fd: os.stat_result((mode, *true(fd)[1:])))

    with pytest.raises(ImageError, match=r"is no regular file: it is a (block|character) device"):
        Reader(Path, images).shows(image_at(str(images / "device"), Raw()))
