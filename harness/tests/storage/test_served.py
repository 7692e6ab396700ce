"""Images that a trial's NBD server has: their files, and how headers name them."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from harness.acts.act import after_all
from harness.acts.images import CreateImage, RemoveImage, served
from harness.oracle.image import Nbd, Raw
from harness.oracle.state import DIRECTORY, State
from harness.readers.session import relative
from harness.storage.stores import file_name, path_of

_AT = DIRECTORY / "sn1.qcow2"


@pytest.mark.parametrize(
    "name",
    [
        file_name(served("copy")),
        'json:{"driver":"nbd","server":{"type":"unix","path":"/export/images/served.nbd"},"export":"copy"}',
        'json:{"file":{"driver":"nbd","server":{"type":"unix","path":"/export/images/served.nbd"},"export":"copy"}}',
    ],
)
def test_a_header_that_names_a_served_image_leads_to_its_file(name: str) -> None:
    assert relative(name, _AT) == path_of(served("copy")) == DIRECTORY / "served" / "copy"


def test_another_servers_image_has_no_file() -> None:
    assert path_of(Nbd(PurePosixPath("/run/nbd"), "copy")) is None


def test_an_image_is_served_from_its_making_until_it_is_removed() -> None:
    made = CreateImage("copy", format=Raw(), store=served("copy"))
    state = after_all(State(), (CreateImage("base"), made))
    assert made.call(after_all(State(), (CreateImage("base"),))).serves == str(DIRECTORY / "served" / "copy")
    assert RemoveImage("copy").call(state).lets_go == "copy"
    assert RemoveImage("copy").after(state).store("copy") != served("copy")


def test_only_raw_images_are_served() -> None:
    with pytest.raises(ValueError, match="raw images are"):
        CreateImage("copy", store=served("copy")).after(after_all(State(), (CreateImage("base"),)))
