"""Snapshots inside images: what they keep stays, whatever comes later, and is gone back to with the guest's memory."""

from __future__ import annotations

from harness.acts.revert import RevertToSnapshot
from harness.acts.snapshot import InternalSnapshot
from harness.trial.nouns import Vm
from harness.trial.trial import Trial


def test_each_instant_is_gone_back_to_with_its_guest(trial: Trial) -> None:
    """base with s1, s2, s3 inside (live)   becomes   base as at s1, s3, s2 and s1 again, each with its guest."""
    vm, instants = _with_three(trial)
    for number, name in enumerate(("s1", "s3", "s2", "s1")):
        trial.do(RevertToSnapshot(name))
        assert vm.disk().content.guest() == instants[name]
        assert vm.domain.agent.run("cat /run/token").decode().strip() == name
        trial.verify(f"gone back to {name}")
        vm.disk().write(f"X{number}", (number, 9))
        trial.verify(f"written after {name}")


def _with_three(trial: Trial) -> tuple[Vm, dict[str, tuple[object, ...]]]:
    trial.create_base()
    vm = trial.define().bring_up()
    vda = vm.disk()
    instants: dict[str, tuple[object, ...]] = {}
    for number, cells in enumerate(((0, 1, 2), (1, 5), (2, 6)), 1):
        vda.write("ABC"[number - 1], cells)
        instants[f"s{number}"] = vda.content.guest()
        vm.domain.agent.run(f"echo s{number} >/run/token")
        trial.do(InternalSnapshot(f"s{number}"))
    vda.write("D", (3,))
    return vm, instants
