"""Discards that meet a write to the same cluster: QEMU's qcow2 driver alone, by qemu-io, which can hold a write."""

from __future__ import annotations

import shlex

from harness.stack.sandbox import IMAGES
from harness.storage.images import file_image
from harness.trial.trial import Trial

CLUSTER = "0x30000 64k"


def test_zeros_that_meet_an_allocating_write_leave_the_bookkeeping_whole(trial: Trial) -> None:
    """A write that allocates its cluster is held, zeros that unmap come to the same cluster, the write goes on."""
    trial.create_base()
    image = trial.path("base")
    acts = (
        *(f"write -P 181 {CLUSTER}", f"write -z {CLUSTER}"),
        *("break write_aio A", f"aio_write -P 180 {CLUSTER}", "wait_break A"),
        *(f"aio_write -z -u {CLUSTER}", "resume A", "aio_flush"),
    )

    trial.type(f"qemu-io {' '.join(f'-c {shlex.quote(act)}' for act in acts)} blkdebug::{image}").check()

    trial.qemu_img.check(file_image(IMAGES, "base"))
    read = trial.type(f"qemu-io -f qcow2 -c 'read -P 0 {CLUSTER}' {image}").check()
    assert "verification failed" not in read.output
