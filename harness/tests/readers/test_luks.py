"""The reader reads encrypted images as QEMU does, and says of those that it cannot read why."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path, PurePosixPath

import pytest

from harness.errors import ImageError
from harness.oracle.image import LUKS_HEADER, File, Format, Image, Qcow2, Raw
from harness.oracle.secret import SECRETS, passphrase, uuid_of
from harness.process import run
from harness.readers import luks
from harness.readers.extents import opened
from harness.readers.luks import Decrypted, unlocked
from harness.readers.own import Reader
from harness.storage import tool
from harness.tests.oracle.tools import READER, needs_qemu_img

pytestmark = needs_qemu_img
SIZE = 1 << 20
FORMATS = [Raw(secret="red"), Qcow2(secret="red"), Qcow2(4096, secret="blue")]
_BY_CHANCE = "Unable to get accurate CPU usage"
_TRIES = 100  # QEMU makes an encrypted image or not by what a tick of the kernel's was in (harness/stack/thread_time.c)


def by_tool(*command: str) -> str:
    """What a tool of QEMU's prints; tried again where the time that it took was not to be had."""
    for _ in range(_TRIES):
        done = run(command, timeout=60)
        if done.exit_status == 0 or _BY_CHANCE not in done.output:
            break
    assert "failed" not in done.check().output, done.output
    return done.stdout


def write(image: Image, *commands: str) -> None:
    typed = [word for command in commands for word in ("-c", command)]
    by_tool("qemu-io", *typed, *tool.opened(image))


def made(directory: Path, form: Format, name: str = "image") -> Image:
    image = Image(name, form, File(PurePosixPath(directory / f"{name}.{form.name}")))
    by_tool(*tool.create(image, SIZE))
    if isinstance(form, Raw):
        by_tool(*tool.fill(image, SIZE))
    write(image, "write -P 65 0 64k", "write -P 66 200k 3k", "write -P 67 512k 130k", "write -P 68 700k 512")
    return image


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encrypted raw image, which tests copy."""
    return file_of(made(tmp_path_factory.mktemp("luks"), Raw(secret="red")))


@pytest.fixture
def raw(original: Path, tmp_path: Path) -> Image:
    """A copy of it."""
    shutil.copy(original, tmp_path / original.name)
    return Image("image", Raw(secret="red"), File(PurePosixPath(tmp_path / original.name)))


def by_qemu(image: Image) -> bytes:
    raw = Path(f"{image.store.path}.raw")
    by_tool("qemu-img", "convert", "-O", "raw", *tool.opened(image), str(raw))
    return raw.read_bytes()


def file_of(image: Image) -> Path:
    return Path(str(image.store.path))


def patched(image: Image, at: int, data: bytes) -> None:
    with file_of(image).open("r+b") as file:
        file.seek(at)
        file.write(data)


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_it_reads_what_qemu_reads_and_tells_the_secret(tmp_path: Path, form: Format) -> None:
    image = made(tmp_path, form)

    shown = READER.shows(image)

    assert shown == by_qemu(image)
    assert shown.count(b"A") == 64 << 10
    assert READER.secret(image) == form.secret
    assert READER.size(image) == SIZE
    assert b"A" * 64 not in file_of(image).read_bytes()


@pytest.mark.parametrize("above", [Qcow2(), Qcow2(secret="blue")], ids=["plain", "encrypted"])
@pytest.mark.parametrize("form", FORMATS[:2], ids=str)
def test_a_chain_is_read_with_the_secret_of_each(tmp_path: Path, form: Format, above: Qcow2) -> None:
    base = made(tmp_path, form, "base")
    top = Image("top", above, File(PurePosixPath(tmp_path / "top.qcow2")))
    by_tool(*tool.create(top, SIZE, base))

    shown = READER.shows(top)

    assert shown == READER.shows(base)
    assert READER.chain(top) == [base.store.path, top.store.path]
    assert READER.secret(top) == above.secret


def test_an_image_of_qcow2_counts_the_header_of_luks_among_its_clusters(tmp_path: Path) -> None:
    image = made(tmp_path, Qcow2(secret="red"))

    assert READER.wrong_refcounts(image) == []
    header = READER.header(image)
    assert header is not None
    assert header.own.luks is not None
    assert header.own.luks.count == LUKS_HEADER


def test_a_raw_one_is_larger_than_its_disk_by_the_header(raw: Image) -> None:
    assert file_of(raw).stat().st_size == SIZE + LUKS_HEADER


def test_a_byte_that_is_wrong_in_the_file_is_wrong_in_what_is_read(raw: Image) -> None:
    before = READER.shows(raw)
    patched(raw, LUKS_HEADER + 4096, b"\0")

    after = READER.shows(raw)

    assert after != before
    assert after[:4096] == before[:4096]
    assert after[4608:] == before[4608:]  # the sector, and no more


def test_what_the_header_says_counts_and_not_what_is_thought_of_it(tmp_path: Path) -> None:
    image = made(tmp_path, Qcow2(secret="red"))
    with_none = Image("image", Qcow2(), image.store)

    assert READER.shows(with_none) == READER.shows(image)


def test_a_secret_that_is_none_of_ours_is_told(tmp_path: Path) -> None:
    path = tmp_path / "image.luks"
    foreign = ("--object", "secret,id=s,data=foreign", "-f", "luks", "-o", "key-secret=s,iter-time=10")
    by_tool("qemu-img", "create", "-q", *foreign, str(path), str(SIZE))

    with pytest.raises(ImageError, match="none of the known secrets opens it"):
        READER.shows(Image("image", Raw(secret="red"), File(PurePosixPath(path))))


@pytest.mark.parametrize(
    ("at", "data", "words"),
    [
        (0, b"luks", "has no header of LUKS 1"),
        (6, b"\0\2", "has no header of LUKS 1"),
        (8, b"serpent\0", "is encrypted by serpent xts-plain64 sha256"),
        (40, b"cbc-essiv\0\0", "is encrypted by aes cbc-essiv"),
        (72, b"md5\0\0\0\0", "is encrypted by aes xts-plain64 md5"),
        (108, struct.pack(">I", 1 << 20), "has a key of 1048576 bytes"),
        (164, struct.pack(">I", 0), "which cannot be"),
        (164, struct.pack(">I", 1 << 31), "wants its keys worked on"),
        (208 + 44, struct.pack(">I", 1 << 31), "has a key of 64 bytes in 2147483648 stripes"),
        (208 + 40, struct.pack(">I", 1 << 30), "a key slot of LUKS reaches to byte"),
        (208, struct.pack(">I", 0), "none of the known secrets opens it"),
    ],
)
def test_a_header_that_cannot_be_is_named(raw: Image, at: int, data: bytes, words: str) -> None:
    patched(raw, at, data)

    with pytest.raises(ImageError, match=words):
        READER.shows(raw)


def test_one_that_is_cut_off_is_named(raw: Image) -> None:
    with file_of(raw).open("r+b") as file:
        file.truncate(300)

    with pytest.raises(ImageError, match="the header of LUKS reaches to byte"):
        READER.shows(raw)


def test_keys_that_would_take_too_long_are_not_worked_on(raw: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(luks, "ITERATIONS", 1000)
    monkeypatch.setattr(luks, "_known", {})

    with pytest.raises(ImageError, match="up to 1000 are done"):
        READER.shows(raw)


def test_sectors_are_read_in_pieces_as_in_one(raw: Image) -> None:
    with opened(file_of(raw), "image") as file:
        _, cipher = unlocked(file)
        data = Decrypted(file, cipher, cipher.payload)
        whole = data.read_padded(0, 8192, "it")

        assert b"".join(data.read_padded(at, 100, "it") for at in range(0, 8100, 100)) == whole[:8100]
        with pytest.raises(ImageError, match="beyond the end of the file"):
            data.read_padded(SIZE, 1, "it")


def test_the_tools_open_it_and_find_nothing_wrong(tmp_path: Path) -> None:
    image = made(tmp_path, Qcow2(secret="red"))

    assert "No errors" in by_tool("qemu-img", "check", *tool.opened(image))


def test_every_secret_is_another() -> None:
    assert len({uuid_of(name) for name in SECRETS}) == len({passphrase(name) for name in SECRETS}) == len(SECRETS)
    with pytest.raises(ValueError, match="there is no secret green"):
        uuid_of("green")


def test_files_outside_are_not_opened(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    image = made(tmp_path, Raw(secret="red"))
    (inside / "link.luks").symlink_to(file_of(image))

    with pytest.raises(ImageError):
        Reader(Path, inside).shows(Image("link", Raw(secret="red"), File(PurePosixPath(inside / "link.luks"))))
