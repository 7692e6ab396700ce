"""A guest that was restored is to a scenario what one that was booted is."""

from __future__ import annotations

import pytest

from harness.oracle.content import Content
from harness.trial.trial import Trial
from harness.vm.domain import Domain
from harness.vm.warm import WarmGuests
from harness.waiting import wall_clock

pytestmark = pytest.mark.needs("restore")


def test_it_has_no_stale_cache_of_its_disk(trial: Trial, domain: Domain) -> None:
    """Read through the guest's page cache, its disk is what the image holds now, not what it was saved with."""
    domain.guest.write_marker("A", (0, 5))
    domain.shut_off()
    guest = trial.bring_up()

    buffered = guest.run("dd if=/dev/vda bs=64k 2>/dev/null | sha256sum")
    assert buffered == guest.run("dd if=/dev/vda bs=64k iflag=direct 2>/dev/null | sha256sum")
    assert trial.run in guest.run("dd if=/dev/vda bs=64 count=1 2>/dev/null").decode()


def test_one_that_was_saved_on_another_image_is_restored_on_its_own(trial: Trial, warm_guests: WarmGuests) -> None:
    """Saved on `other`, restored on `base`: what the guest was saved with is no longer there."""
    warm = trial.warm = WarmGuests(warm_guests.directory, f"only for {trial.run}")
    other = Content.new("other")
    trial.qemu_img.create(trial.path("other"), other.geometry.disk_size)
    with Domain(trial.daemon, trial.machine, other, trial.run, trial.journal) as domain:
        warm.bring_up(domain)
    trial.daemon.sandbox.outside(trial.path("other")).unlink()

    trial.define(trial.create_base())
    trial.bring_up()

    assert (warm.restored, warm.booted) == (2, 0)


def test_its_clock_is_right_and_its_agent_answers(domain: Domain) -> None:
    guest = domain.guest

    assert abs(int(guest.run("date +%s")) - wall_clock()) < 5
    assert guest.host.check_output("hostname") == "guest"


def test_two_from_one_file_draw_different_random_numbers(trial: Trial, domain: Domain) -> None:
    drawn = {domain.guest.run("head -c 32 /dev/urandom | sha256sum")}
    domain.shut_off()

    drawn.add(trial.bring_up().run("head -c 32 /dev/urandom | sha256sum"))

    assert len(drawn) == 2


@pytest.mark.sabotaged
def test_one_that_cannot_be_restored_is_booted_and_counted_and_made_anew(trial: Trial, warm_guests: WarmGuests) -> None:
    warm = trial.warm = WarmGuests(warm_guests.directory, f"only for {trial.run}")
    trial.define(trial.create_base())
    trial.bring_up()
    trial.domain.shut_off()
    damaged = warm.file_for(trial.domain)
    whole = damaged.read_bytes()
    damaged.unlink()
    damaged.write_bytes(whole[: len(whole) // 3])

    guest = trial.bring_up()

    assert (warm.restored, warm.booted) == (1, 1)
    assert guest.host.check_output("hostname") == "guest"
    assert "cannot be restored, so it boots" in trial.journal.transcript()
    assert not damaged.exists()
