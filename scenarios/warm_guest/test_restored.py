"""A guest that was restored is to a scenario what one that was booted is."""

from __future__ import annotations

import errno
import shutil

import pytest

from harness.bench.__main__ import Contender, measured
from harness.bench.ways import SavedGuestGone, floor
from harness.trial.nouns import Vm
from harness.trial.trial import Trial
from harness.vm.warm import WarmGuests
from harness.waiting import wall_clock

pytestmark = pytest.mark.needs("restore")


def test_it_has_no_stale_cache_of_its_disk(trial: Trial, vm: Vm) -> None:
    """Read through the guest's page cache, its disk is what the image holds now, not what it was saved with."""
    vm.disk("vda").write("A", (0, 5))
    vm.shut_off()
    guest = vm.bring_up().guest

    buffered = guest.run("dd if=/dev/vda bs=64k 2>/dev/null | sha256sum")
    assert buffered == guest.run("dd if=/dev/vda bs=64k iflag=direct 2>/dev/null | sha256sum")
    assert trial.run in guest.run("dd if=/dev/vda bs=64 count=1 2>/dev/null").decode()


def test_one_that_was_saved_on_another_image_is_restored_on_its_own(trial: Trial, warm_guests: WarmGuests) -> None:
    """Saved on base, restored on cur: what the guest was saved with is no longer there."""
    warm = trial.machines.warm = WarmGuests(warm_guests.directory, f"only for {trial.run}")
    trial.create_base()
    vm = trial.define().bring_up()
    vm.disk("vda").snapshot("cur")
    with vm.disk("vda").pull() as job:
        job.wait_completed()
    vm.shut_off()
    trial.remove("base")

    vm.bring_up()

    assert (warm.restored, warm.booted) == (2, 0)


def test_its_clock_is_right_and_its_agent_answers(vm: Vm) -> None:
    guest = vm.guest

    assert abs(int(guest.run("date +%s")) - wall_clock()) < 5
    assert guest.host.check_output("hostname") == "guest"


def test_two_from_one_file_draw_different_random_numbers(vm: Vm) -> None:
    drawn = {vm.guest.run("head -c 32 /dev/urandom | sha256sum")}
    vm.shut_off()

    drawn.add(vm.bring_up().guest.run("head -c 32 /dev/urandom | sha256sum"))

    assert len(drawn) == 2


@pytest.mark.sabotaged
def test_one_that_cannot_be_restored_is_booted_and_counted_and_made_anew(trial: Trial, warm_guests: WarmGuests) -> None:
    warm = trial.machines.warm = WarmGuests(warm_guests.directory, f"only for {trial.run}")
    trial.create_base()
    vm = trial.define().bring_up()
    vm.shut_off()
    damaged = trial.machines.saved(vm.name)
    whole = damaged.read_bytes()
    damaged.unlink()
    damaged.write_bytes(whole[: len(whole) // 3])

    guest = vm.bring_up().guest

    assert (warm.restored, warm.booted) == (1, 1)
    assert guest.host.check_output("hostname") == "guest"
    assert "cannot be saved or restored, so it boots" in trial.journal.transcript()
    assert not damaged.exists()


@pytest.mark.sabotaged
def test_where_none_can_be_saved_for_want_of_room_the_guest_is_booted(
    trial: Trial, warm_guests: WarmGuests, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    warm = trial.machines.warm = WarmGuests(warm_guests.directory, f"only for {trial.run}")
    monkeypatch.setattr(shutil, "move", full)
    trial.create_base()

    vm = trial.define().bring_up()

    assert vm.guest.host.check_output("hostname") == "guest"
    assert (warm.restored, warm.booted) == (0, 1)
    assert "No space left on device" in trial.journal.transcript()


@pytest.mark.sabotaged
def test_the_bench_survives_that_one_is_evicted_by_another_run(trial: Trial, warm_guests: WarmGuests) -> None:
    """Its bare calls find none, and say so; then it is made again."""
    trial.machines.warm = WarmGuests(warm_guests.directory, f"only for {trial.run}")

    with pytest.raises(SavedGuestGone):
        floor(trial)
    assert measured(Contender("floor", floor, True), trial.another).total > 0
