"""Whatever is broken on purpose is noticed, first by what is meant to notice it: the rows of harness/detect/."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.detect.saboteur import Saboteur, Scene, notice, noticed
from harness.detect.saboteurs import ON_A_VM, named
from harness.readers.own import Reader
from harness.run.detection import detected
from harness.trial.trial import Trial
from harness.verdict.checks import verify_all
from harness.verdict.finding import ChecksFailed

pytestmark = [pytest.mark.sabotaged, pytest.mark.detected]


@pytest.mark.parametrize("saboteur", ON_A_VM, ids=str)
def test_it_is_noticed_by_what_is_meant_to(
    trial: Trial,
    saboteur: Saboteur,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    if not saboteur.bare:
        request.getfixturevalue("layered")

    with ExitStack() as stack, detected(saboteur, record_property) as record:
        record(notice(Scene(trial, stack), saboteur))


def test_two_readers_that_do_not_agree_on_an_opaque_disk(
    trial: Trial, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """readers agree: our own reader is given another file."""
    saboteur = named("a reader of ours that reads another file")
    trial.create_root_base()
    trial.define(root_on_vda=True)
    other = tmp_path / "other.qcow2"
    shutil.copy(trial.daemon.sandbox.outside(trial.path("base")), other)
    with other.open("r+b") as stream:
        stream.seek(-65536, 2)
        stream.write(b"another byte")
    trial.reader = Reader(lambda _: other)

    with detected(saboteur, record_property) as record:
        with pytest.raises(ChecksFailed) as caught:
            verify_all(trial)
        record(noticed(saboteur, caught.value.findings))
