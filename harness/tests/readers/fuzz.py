"""The reader under fire, in a process that may take neither memory nor time: python -m harness.tests.readers.fuzz.

Arguments: an empty directory, a seed, the number of images, and a fault of Saboteur or ""; or, in place of the seed,
"bombs", then 1 for every question and 0 for one. Prints the outcomes as JSON.
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from types import FrameType

from harness.errors import ChainproofError, ImageError
from harness.oracle.geometry import Geometry
from harness.oracle.image import Image
from harness.readers import qcow2, session
from harness.readers.own import Reader
from harness.storage.images import image_at
from harness.tests.oracle.tools import as_qemu_shows
from harness.tests.readers.bombs import BOMBS
from harness.tests.readers.mutations import ACTIVE, VARIANTS, Files, mutated
from harness.waiting import now, scaled

MEMORY = 256 << 20
SECONDS = 5.0
"""Of processor time: how busy the machine is does not matter."""
GEOMETRY = Geometry(cells=3)
"""Less than the images' disks: some of what they hold is past the cells."""


class Late(BaseException):
    """The deadline of an image."""


class Saboteur(Reader):
    """A reader with a fault of its own; proves that the fuzz notices."""

    def __init__(self, fault: str, directory: Path) -> None:
        super().__init__(Path, directory)
        self.fault = fault
        self.calls = 0

    def shows(self, image: Image) -> bytes:
        """As the fault has it."""
        self.calls += 1
        match self.fault:
            case "raises":
                raise IndexError("list index out of range")
            case "hangs":
                while True:
                    pass
            case "takes memory":
                return bytes(MEMORY)
            case "is fickle":
                return bytes([self.calls])
            case "reads other bytes":
                return super().shows(image)[::-1]
        return super().shows(image)


def _put(files: Files, directory: Path) -> None:
    for name, data in files.items():
        (directory / name).write_bytes(data)


def _late(_signal: int, _frame: FrameType | None) -> None:
    raise Late


def _outcome(call: Callable[[], object], deadline: float) -> tuple[str, object]:
    """What it came to, in words without numbers and names, and its value."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, limits[1]))
    signal.setitimer(signal.ITIMER_PROF, deadline)
    try:
        return "read", call()
    except ImageError as error:
        # what was read may be in it: no more than a line, and the layer's name first
        if "\n" in str(error) or not error.image.startswith("/"):
            return f"FAULT: {error!r}", None
        words = re.sub(r"/\S+|0x[0-9a-f]+|\d+", "#", error.problem)
        return f"ImageError: {words[:60]}", str(error)
    except (Exception, Late) as error:  # noqa: BLE001 - whatever it is, it is the finding
        return f"FAULT: {type(error).__name__}: {str(error)[:100]}", None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, limits)  # QEMU is compared without


def judged(reader: Reader, image: Image, deadline: float) -> str:
    """What becomes of an image, each question asked twice; begins with FAULT if that must not be."""
    questions: list[Callable[[], object]] = [
        *(lambda: reader.shows(image), lambda: reader.own(image), lambda: reader.chain(image)),
        *(lambda: reader.backing(image), lambda: reader.measure([image], GEOMETRY, "1a2b3c4d")),
        lambda: reader.wrong_refcounts(image),
    ]
    outcomes = []
    for question in questions:
        words, seen = _outcome(question, deadline)
        if words.startswith("FAULT"):
            return words
        _, again = _outcome(question, deadline)
        if seen != again:
            return "FAULT: two readings differ"
        outcomes.append((words, seen))
    (words, seen), *_ = outcomes
    return _compared(image, seen) if isinstance(seen, bytes) else words


def _compared(image: Image, seen: bytes) -> str:
    try:
        other = as_qemu_shows(Path(str(image.store.path)))
    except ChainproofError:
        return "read, but not by QEMU"
    return "read, as QEMU does" if other == seen else "FAULT: QEMU reads other bytes"


def main(directory: Path, seed: str, count: int, fault: str) -> dict[str, object]:
    """Try `count` images; their outcomes by number, the faults with all that it takes to make them again."""
    work = directory / "work"
    work.mkdir(parents=True)
    originals = {name: variant.make(work) for name, variant in VARIANTS.items()}
    (work / "below").mkdir()
    (directory / "outside").write_bytes(b"secret" * 20_000)
    os.mkfifo(work / "fifo")
    (work / "outward").symlink_to("../outside")
    reader = Saboteur(fault, work) if fault else Reader(Path, work)
    deadline = scaled(1.0 if fault else SECONDS)
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    slowest = 0.0
    for number, name in enumerate(islice(cycle(VARIANTS), count)):
        files, done = mutated(originals[name], random.Random(f"{seed} {number}"))
        _put(files, work)
        began = now()
        words = judged(reader, image_at(str(work / ACTIVE)), deadline)
        slowest = max(slowest, now() - began)
        outcomes[words] += 1
        if words.startswith("FAULT"):
            faults.append(f"{words} (seed {seed}, image {number}: {name}, {'; '.join(done)})")
        for left in files:
            (work / left).unlink()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return {"images": count, "faults": faults, "outcomes": outcomes, "slowest": slowest, "peak MiB": peak}


def bombed(directory: Path, *, whole: bool, fault: str) -> dict[str, str]:
    """What measuring each of BOMBS comes to, but for the last; with `whole`, every other question, and of the last.

    With a fault there are no limits, and only the first two.
    """
    outcomes, deadline = {}, scaled(1.0 if fault else SECONDS)
    if fault:
        session.PIECES = qcow2.L2_BYTES = 1 << 62
    for bomb in BOMBS[:2] if fault else BOMBS if whole else BOMBS[:-1]:
        here = directory / bomb.__name__
        here.mkdir(parents=True)
        bomb(here)
        image, reader = image_at(str(here / ACTIVE)), Reader(Path, here)
        outcomes[bomb.__name__], _ = _outcome(partial(reader.measure, [image], GEOMETRY, "1a2b3c4d"), deadline)
        if whole and (words := judged(reader, image, deadline)).startswith("FAULT"):
            outcomes[bomb.__name__] = words
        shutil.rmtree(here)
    return outcomes


if __name__ == "__main__":
    signal.signal(signal.SIGPROF, _late)
    where, what, number, fault = sys.argv[1:]
    if what == "bombs":
        print(json.dumps(bombed(Path(where), whole=bool(int(number)), fault=fault)))
    else:
        print(json.dumps(main(Path(where), what, int(number), fault)))
