"""Power loss at every write of a trial: what it may leave is read, and what is wrong is shown to QEMU's own tools."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.crash.explore import Explored, Red
from harness.crash.judge import name_of, wrong_parts
from harness.errors import ChainproofError
from harness.oracle.state import DIRECTORY
from harness.process import Completed
from harness.stack.sandbox import IMAGES
from harness.trial.trial import Trial
from harness.verdict.finding import ChecksFailed, Finding
from harness.waiting import now

CHECK = "power loss"
_CALLS = 6  # so many are named of those that survive, and of those that do not


@dataclass(frozen=True)
class PowerLoss:
    """What came of it: `findings`, one for each kind of red state; `states` were read in `seconds`.

    `per_moment` counts the states by the act during or after which they are, `per_act` by the name of its kind.
    `limits` counts those that a documented limit explains. `not_made` says, by disk, why nothing was explored.
    """

    findings: tuple[Finding, ...] = ()
    states: int = 0
    seconds: float = 0.0
    per_moment: Mapping[str, int] = field(default_factory=dict)
    per_act: Mapping[str, int] = field(default_factory=dict)
    limits: int = 0
    not_made: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raise ChecksFailed if there are findings."""
        if self.findings:
            raise ChecksFailed("whenever the power is lost, what was flushed is there", self.findings)

    def __str__(self) -> str:
        rate = f", {self.states / self.seconds:.0f} a second" if self.states and self.seconds else ""
        limits = f", {self.limits} red by a documented limit alone" if self.limits else ""
        return f"power loss: {self.states} states{rate}, {len(self.findings)} kinds of them red{limits}"


def explore_power_loss(trial: Trial) -> PowerLoss:
    """Lose the power at each write, flush and act since the first VM of the trial started.

    The daemon must have been set up with the recorder, and nothing may be writing: guests and jobs are quiet, or the
    VMs are off; then each kind of red state is shown to qemu-img, too. Raises RecordingFailed if what was recorded is
    not what was done: an error of the harness.
    """
    recording = trial.recording
    if recording is None:
        return PowerLoss(not_made={"": "the daemon was started without the recorder"})
    if recording.why_not:
        return PowerLoss(not_made={"": recording.why_not})
    began = now()
    found = recording.explore()
    seconds = now() - began
    reds = found.reds.items()
    findings = tuple(_finding(trial, red, found.counts[kind], _confirmed(trial, red)) for kind, red in reds)
    not_made = {f"{vm} {target}": why for (vm, target), why in found.not_made.items()}
    if not found.judged and not not_made:
        not_made = {"": "no disk was defined persistently while anything was written"}
    states = sum(found.states.values())
    per_act = {act: sum(found.states[moment] for moment in moments) for act, moments in found.acts.items()}
    return PowerLoss(findings, states, seconds, dict(found.states), per_act, sum(found.limits.values()), not_made)


def keep_red_states(found: Explored, directory: Path) -> None:
    """Write the images of each kind of red state, and what they are, into a directory each below `directory`."""
    for number, red in enumerate(found.reds.values(), 1):
        if not red.files:
            continue
        into = directory / f"power-loss-{number}"
        into.mkdir(parents=True)
        for path, content in red.files.items():
            (into / name_of(path)).write_bytes(content)
        (into / "state.txt").write_text(
            f"{_when(red)}\n{_calls(red, 10_000)}\n{red.problem.text}\n{red.problem.difference}\n"
        )


def _finding(trial: Trial, red: Red, count: int, confirmed: str) -> Finding:
    vm, target = red.disk
    claim = (
        f"after a power loss {red.moment}, the chain of {name_of(red.source.path)}, which {red.named_by} names,"
        f" shows what was flushed (cache='{red.source.cache}')"
    )
    seen = f"{red.problem.text}, in {count} crash states; the first: {_when(red)}"
    lines = [_calls(red, _CALLS), red.problem.difference, confirmed]
    subject = f"{vm} {target}" if trial.vms else target
    return Finding(CHECK, subject, claim, seen, "\n".join(line for line in lines if line))


def _when(red: Red) -> str:
    return f"{red.moment}, when {red.last}"


def _calls(red: Red, most: int) -> str:
    if not red.applied and not red.dropped:
        return "all calls had been flushed"
    lines = []
    for what, calls in (("survive", red.applied), ("are lost", red.dropped)):
        # headers first: whether one survives decides what the image names
        first = sorted(calls, key=lambda call: call.offset != 0)
        named = [str(call) for call in first[:most]] + ([f"{len(calls) - most} more"] if len(calls) > most else [])
        lines.append(f"unflushed calls that {what}: {'; '.join(named) or 'none'}")
    return "\n".join(lines)


def _confirmed(trial: Trial, red: Red) -> str:
    """What the stack's own tools say of a red state."""
    if not red.files:
        return ""
    if any(vm.state.is_on for vm in trial.vms):
        return "QEMU's own tools were not asked: a VM is on"
    try:
        with _in_place(trial, red.files):
            return _by_tools(trial, red)
    except (ChainproofError, OSError, ValueError) as error:
        return f"QEMU's own tools could not be asked: {error}"


@contextmanager
def _in_place(trial: Trial, files: Mapping[str, bytes]) -> Iterator[None]:
    """Put images where their headers say that they are, and what is there aside."""
    images = trial.daemon.sandbox.outside(IMAGES)
    aside = images.with_name("aside")
    images.rename(aside)
    try:
        images.mkdir()
        for path, content in files.items():
            file = images / Path(path).relative_to(DIRECTORY)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        yield
    finally:
        shutil.rmtree(images)
        aside.rename(images)


def _by_tools(trial: Trial, red: Red) -> str:
    form = red.source.driver
    lines = []
    if form == "qcow2":
        done = _run(trial, "check", "--output=json", "-f", form, red.source.path)
        try:
            told = json.loads(done.stdout)
            counts = {name: told[name] for name in ("corruptions", "leaks", "check-errors") if told.get(name)}
            lines.append(f"qemu-img check: {counts or 'no errors'}")
        except ValueError:
            lines.append(f"qemu-img check: {done.output.strip()}")
    copy = f"{DIRECTORY}/read-by-qemu-img"
    done = _run(trial, "convert", "-f", form, "-O", "raw", red.source.path, copy)
    if done.exit_status != 0:
        return "\n".join([*lines, f"qemu-img convert refuses it: {done.output.strip()}"])
    shown = trial.daemon.sandbox.outside(IMAGES / "read-by-qemu-img").read_bytes()
    wrong = wrong_parts(shown, red.promise, trial.run)
    seen = f"reads {len(wrong)} parts that are not what was flushed" if wrong else "reads all that was flushed"
    return "\n".join([*lines, f"qemu-img convert {seen}"])


def _run(trial: Trial, *words: str) -> Completed:
    return trial.daemon.sandbox.run(["qemu-img", *words], timeout=60)
