"""File system trees of Debian's releases: made by mmdebstrap from this machine's mirror, kept packed and unpacked."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

from harness.errors import ChainproofError, CommandFailed, Unusable
from harness.keeping.directory import KeptDirectory, sweep
from harness.keeping.locks import locked, say
from harness.keeping.seal import damage, seal
from harness.stack.enclosed import run_enclosed
from harness.stack.mirror import Mirror, configured_mirror

PACKAGES = (
    "libvirt-daemon-driver-qemu",
    "libvirt-daemon",
    "qemu-system-x86",
    "qemu-utils",
    "libvirt-clients",
    "?exact-name(libvirt-daemon-driver-secret)",  # a package of its own from trixie on: a pattern may match nothing
)
ROOM_BYTES = 1 << 30  # a tree of 200-300 MB, its packages, its archive
_BUILD_SECONDS = 480.0
_LOCK_SECONDS = 900.0  # who holds it builds, packs and hashes
_BUILDS = "build"
_KEPT = ("", ".zst", ".seal")  # suffixes of a tree, its archive, its seal
_UPDATED = ("bullseye", "bookworm", "trixie")  # released: they have -updates and -security
_PINNED = "src:libvirt src:qemu src:seabios src:ipxe src:edk2 src:libslirp"
_EXCLUDED = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*")
_APT = (
    'APT::Install-Recommends "false"',
    'Acquire::Languages "none"',
    'Acquire::Check-Valid-Until "false"',  # sid and forky on some mirrors: "InRelease is expired"
)
_PATIENCE = 'Acquire::Retries::Delay::Maximum "1"'  # seconds before each of three retries
_SUITES = (*_UPDATED, "forky", "sid", "experimental", "trixie-backports", "bookworm-backports")  # to suggest
_NO_SUITE = "the mirror has no such suite"
# what mmdebstrap and apt say, and what it means
_CAUSES = (
    (r"No space left on device|not enough free space", "the disk is full"),
    (r"does not have a Release file|404 +Not Found|no longer has a Release file", _NO_SUITE),
    (
        r"Could not (?:resolve|connect)|Temporary failure|Cannot initiate|unreachable|timed out",
        "the mirror is unreachable",
    ),
    (r"NO_PUBKEY|is not signed|EXPKEYSIG", "the keyring of debian-archive-keyring is too old for it"),
    (r"Unable to locate package|has no installation candidate", "it lacks packages that are needed"),
)


@dataclass(frozen=True)
class Tree:
    """A built tree: `packages` are all versions in it, `digest` names it by its recipe and its packages."""

    suite: str
    digest: str
    recipe: str
    built: str
    packages: dict[str, str]
    files: int
    archive_sha256: str


class Trees:
    """The trees in one directory. Safe to use from several processes: a tree is built once."""

    def __init__(self, directory: Path, mirror: Callable[[], Mirror] = configured_mirror) -> None:
        self.directory = directory
        self._mirror = mirror

    def unpacked(self, tree: Tree) -> Path:
        """Where its files are."""
        return self.directory / tree.digest

    def archive(self, tree: Tree) -> Path:
        """Where it is kept packed."""
        return self.directory / f"{tree.digest}.tar.zst"

    def known(self) -> Iterator[Tree]:
        """Every suite's tree that was built, and is there packed or unpacked."""
        for file in sorted(self.directory.glob("*.json")):
            tree = _read(file)
            if tree is not None and (self.unpacked(tree).exists() or self.archive(tree).exists()):
                yield tree

    def provide(self, suite: str, *, anew: bool = False) -> Tree:
        """The tree of a suite: as it is, unpacked again, or built now (30-60 s); `anew` builds it whatever is there.

        Raises Unusable, naming the stack, if it cannot be built.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with locked(self.directory / f"{suite}.lock", f"the tree of debian:{suite}", timeout=_LOCK_SECONDS):
            tree = _read(self._manifest(suite))
            if tree is not None and not anew and tree.recipe == _recipe(suite):
                if self._is_whole(tree):
                    return tree
                if self._unpack(tree):
                    return tree
            return self._build(suite)

    def prune(self) -> list[Path]:
        """Remove what no present tree needs (older builds, what killed builds left, trees of other recipes)."""
        kept = {tree.digest for tree in self.known() if tree.recipe == _recipe(tree.suite)}
        removed = sweep(self.directory, _BUILDS)
        for entry in sorted(self.directory.iterdir()) if self.directory.exists() else []:
            tree = _read(entry) if entry.suffix == ".json" else None
            stale = entry.suffix == ".json" and (tree is None or tree.digest not in kept)
            building = entry.name.startswith(f"{_BUILDS}-")
            if stale or (entry.suffix in _KEPT and entry.name.split(".")[0] not in kept and not building):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
                removed.append(entry)
        return removed

    def _manifest(self, suite: str) -> Path:
        return self.directory / f"{suite}.json"

    def _seal(self, tree: Tree) -> Path:
        return self.directory / f"{tree.digest}.seal"

    def _is_whole(self, tree: Tree) -> bool:
        directory = self.unpacked(tree)
        if not directory.is_dir():
            return False
        found = damage(directory, self._seal(tree))
        if found:
            say(f"the tree of debian:{tree.suite} is damaged, and is made anew: {found} (in {directory})")
        return not found

    def _unpack(self, tree: Tree) -> bool:
        """Unpack the archive, if it is there and undamaged."""
        archive = self.archive(tree)
        if not archive.exists() or _sha256(archive) != tree.archive_sha256:
            return False
        with self._scratch(tree.suite) as scratch:
            (scratch / "tree").mkdir()
            unpack = ["tar", "--zstd", "--no-same-owner", "-xf", str(archive), "-C", str(scratch / "tree")]
            _run(tree.suite, unpack, 120)
            if _count(scratch / "tree") != tree.files:
                return False
            self._put(scratch / "tree", tree)
        return True

    def _put(self, unpacked: Path, tree: Tree) -> None:
        """Put a tree where it is kept, and seal it."""
        _replace(unpacked, self.unpacked(tree))
        seal(self.unpacked(tree), self._seal(tree))

    def _build(self, suite: str) -> Tree:
        with self._scratch(suite) as scratch:
            free = shutil.disk_usage(scratch).free
            if free < ROOM_BYTES:
                room = f"{free >> 20} MiB free, {ROOM_BYTES >> 20} MiB are needed"
                raise Unusable(f"debian:{suite}: {self.directory} has {room}", "make room, or set CHAINPROOF_CACHE")
            unpacked, archive = scratch / "tree", scratch / "archive"
            _run(suite, _mmdebstrap(suite, self._named_mirror(suite, scratch), unpacked, scratch), _BUILD_SECONDS)
            packages = _packages((scratch / "packages").read_text())
            for entry in ("dev", "var/lib/apt", "var/cache"):  # ours to provide, or apt's
                shutil.rmtree(unpacked / entry, ignore_errors=True)
            _run(suite, ["tar", "--zstd", "--sort=name", "-cf", str(archive), "-C", str(unpacked), "."], 120)
            recipe = _recipe(suite)
            text = json.dumps([recipe, packages], sort_keys=True)
            digest = hashlib.sha256(text.encode()).hexdigest()[:16]
            built = datetime.now(UTC).isoformat(timespec="seconds")
            tree = Tree(suite, digest, recipe, built, packages, _count(unpacked), _sha256(archive))
            archive.rename(self.archive(tree))
            self._put(unpacked, tree)
            (scratch / "manifest").write_text(json.dumps(asdict(tree), indent=1))
            (scratch / "manifest").rename(self._manifest(suite))
        return tree

    def _named_mirror(self, suite: str, scratch: Path) -> Mirror:
        _, _, snapshot = suite.partition("@")
        try:
            mirror = self._mirror()
            return mirror.at(snapshot, suites(suite)[0], scratch) if snapshot else mirror
        except Unusable as error:
            raise Unusable(f"debian:{suite}: {error.problem}", error.remedy) from error

    @contextmanager
    def _scratch(self, suite: str) -> Iterator[Path]:
        """A directory to build in, gone afterwards; what a crashed machine left goes too."""
        try:
            sweep(self.directory, _BUILDS)
            with KeptDirectory(self.directory, f"{_BUILDS}-{suite}") as scratch:
                yield scratch.path
        except OSError as error:
            problem = f"debian:{suite}: cannot build in {self.directory}: {error.strerror}"
            raise Unusable(problem, "make room, or set CHAINPROOF_CACHE") from error


def suites(suite: str) -> tuple[str, ...]:
    """The suites of the archive that a release, or its state at a snapshot (sid@20260131T000000Z), is made from."""
    suite = suite.partition("@")[0]
    for addition in ("-backports", "-proposed-updates"):
        if suite.endswith(addition):
            return (*suites(suite.removesuffix(addition)), suite)
    if suite == "experimental":
        return ("sid", suite)
    return (suite, f"{suite}-updates", f"{suite}-security") if suite in _UPDATED else (suite,)


def _mmdebstrap(suite: str, mirror: Mirror, out: Path, scratch: Path) -> list[str]:
    """The command that builds a tree: unpacked packages, no maintainer script run, no mount made."""
    if shutil.which("mmdebstrap", path="/usr/bin:/bin") is None or shutil.which("zstd", path="/usr/bin:/bin") is None:
        raise Unusable(f"debian:{suite}: not installed: mmdebstrap or zstd", "apt-get install mmdebstrap zstd")
    mode = "root" if os.getuid() == 0 else "chrootless"
    command = ["mmdebstrap", "--variant=extract", f"--mode={mode}", "--architectures=amd64", "--skip=chroot/mount"]
    command += [f"--aptopt={option}" for option in (*_APT, _PATIENCE)]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED]
    if len(suites(suite)) > 1 and not suites(suite)[-1].endswith("-security"):
        (scratch / "preferences").write_text(
            f"Package: {_PINNED}\nPin: release n={suites(suite)[-1]}\nPin-Priority: 900\n"
        )
        preferences = shlex.quote(str(scratch / "preferences"))
        command.append(
            f'--setup-hook=mkdir -p "$1/etc/apt/preferences.d" && cp {preferences} "$1/etc/apt/preferences.d/x"'
        )
    # the extract variant registers nothing with dpkg: the archives' names are the only list of what is in the tree
    command.append(f'--extract-hook=ls "$1/var/cache/apt/archives" > {shlex.quote(str(scratch / "packages"))}')
    command += [f"--include={','.join(PACKAGES)}", suites(suite)[0], str(out)]
    named = [name for name in suites(suite) if mirror.security or not name.endswith("-security")]
    return [*command, *(mirror.source(name) for name in named)]


def _recipe(suite: str) -> str:
    """The hash of everything that decides how a tree is made, but not of the versions that it then gets."""
    text = json.dumps([1, suites(suite), PACKAGES, _PINNED, _EXCLUDED, _APT])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _packages(names: str) -> dict[str, str]:
    """Package to version, from names of archives: qemu-utils_1%3a7.2+dfsg-7_amd64.deb."""
    found = (name.split("_") for name in names.split() if name.endswith(".deb"))
    return {package: unquote(version) for package, version, _ in found}


def _run(suite: str, command: list[str], seconds: float) -> None:
    """Run a step of a build; raise its failure in a line, with the whole output below."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(Path.home())}
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    try:
        run_enclosed(command, timeout=seconds, environment={**environment, **proxies}).check()
    except CommandFailed as error:
        complaints = [line for line in error.stderr.splitlines() if line.startswith("E: ")]
        words = complaints[0] if complaints else error.stderr.strip()[-200:]
        cause = _cause(error.stderr)
        close = difflib.get_close_matches(suite, _SUITES) if cause == _NO_SUITE else []
        remedy = f"did you mean debian:{close[0]}?" if close else ""
        detail = "" if cause else error.stderr.strip()[-2000:]
        raise Unusable(f"debian:{suite}: {cause or 'the build failed'}: {words}", remedy, detail) from error
    except ChainproofError as error:
        raise Unusable(f"debian:{suite}: the tree could not be built in time", "", str(error)[-2000:]) from error


def _cause(text: str) -> str:
    """What the messages of a failed build mean; empty if it is none that is known."""
    return next((cause for pattern, cause in _CAUSES if re.search(pattern, text)), "")


def _replace(new: Path, old: Path) -> None:
    """Put the directory `new` where `old` may be."""
    if old.exists():
        shutil.rmtree(old)
    new.rename(old)


def _read(file: Path) -> Tree | None:
    try:
        return Tree(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _count(directory: Path) -> int:
    """How many files and links are in a tree."""
    return sum(len(files) for _, _, files in os.walk(directory))


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
