"""Does a scenario again from its journal alone, and compares: what a journal leaves out cannot be reported either."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from difflib import unified_diff

from harness.acts.act import Act, read
from harness.errors import CheckFailed
from harness.journal import DONE, Kind
from harness.stack.held import HeldCommand
from harness.trial.trial import Trial

Line = Mapping[str, object]
"""An entry of a journal as its line of JSON has it (harness.journal.Entry)."""
_Held = tuple[AbstractContextManager[HeldCommand], HeldCommand]


def replay(journal: str, trial: Trial) -> None:
    """Do in `trial`, which is new, all that a `journal` (lines of JSON) tells, and measure where it did.

    Raises CheckFailed if the journal of that is not the same, tables included.
    """
    lines = [json.loads(line) for line in journal.splitlines()]
    held: list[_Held] = []
    for number, line in enumerate(lines):
        _again(line, lines[number + 1 :], trial, held)
    before, after = (
        list(_told(lines)),
        list(_told(json.loads(line) for line in trial.journal.as_json_lines().splitlines())),
    )
    if before != after:
        words = "\n".join(unified_diff(before, after, "the journal", "the journal of its replay", lineterm="", n=1))
        raise CheckFailed("a scenario that is replayed from its journal gives the same journal", "another one", words)


def _again(line: Line, later: Sequence[Line], trial: Trial, held: list[_Held]) -> None:
    """Do one entry again, if it tells of something that was done from outside."""
    text, act = str(line["text"]), _act(line)
    match Kind(str(line["kind"])):
        case Kind.STEP:
            trial.step(text)
        case Kind.TABLE:
            _measure(line, trial)
        case Kind.COMMAND if act is not None and _detail(line).get("held"):
            ends = next(_act(other) for other in later if other["kind"] == Kind.OUTPUT and other["text"] == text)
            assert ends is not None
            context = trial.hold(text, act, ends, fails=bool(_detail(line).get("fails")))
            held.append((context, context.__enter__()))
        case Kind.COMMAND:
            trial.type(text, act)
        case Kind.OUTPUT:
            begun, command = held.pop()
            if _detail(line).get("interrupted"):
                command.interrupt()
            begun.__exit__(None, None, None)
        case _ if act is not None and line["outcome"] != DONE:
            words = str(line["outcome"]).splitlines()[0].rpartition(": ")[2]
            trial.stage.refused(act, re.escape(words), by=str(line["by"]))
        case _ if act is not None:
            trial.do(act, by=str(line["by"]))


def _measure(line: Line, trial: Trial) -> None:
    detail = _detail(line)
    how = str(detail["how"])
    if how == "verify_backup":
        backup = trial.vm(str(detail["vm"])).state.backup
        if backup is not None and detail["disk"] == next(iter(backup.disks)):
            trial.verify_backup(str(detail["moment"]))
        return
    first = trial.vms[0].disks[0]
    if (detail["vm"], detail["disk"]) == (first.vm.name, first.target):  # one measurement is of all disks
        {"verify": trial.verify, "verify_guest": trial.verify_guest, "verify_offline": trial.verify_offline}[how](
            str(detail["moment"])
        )


def _told(lines: Iterator[Line] | Sequence[Line]) -> Iterator[str]:
    """What a journal tells of what was done and measured: without times, outputs and events."""
    for line in lines:
        kind = Kind(str(line["kind"]))
        if kind is Kind.TABLE:  # what nobody can expect differs from run to run
            yield from f"{kind} {_detail(line).get('certain') or line['text']}".splitlines()
        elif line["act"] or kind in (Kind.STEP, Kind.COMMAND):
            outcome = _first(line["outcome"])
            yield from f"{kind} {line['text']} {json.dumps(line['act'])} {line['by']} {outcome}".splitlines()


def _first(outcome: object) -> str:
    """The first line of what became of an act: what follows is of the run."""
    return str(outcome).partition("\n")[0]


def _act(line: Line) -> Act | None:
    data = line["act"]
    return read(data) if isinstance(data, Mapping) and data else None


def _detail(line: Line) -> Mapping[str, object]:
    detail = line["detail"]
    assert isinstance(detail, Mapping)
    return detail
