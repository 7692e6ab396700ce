"""How QEMU spells an image's format: a name, the options of `qemu-img create`, a node over the file."""

from __future__ import annotations

from collections.abc import Mapping

from harness.oracle.image import Format, Qcow2, Raw
from harness.oracle.secret import SECRETS, passphrase
from harness.storage.stores import Node

_DEFAULT = Qcow2()
SECRET_OBJECTS = tuple(f"secret,id={name},data={passphrase(name)}" for name in SECRETS)
"""What `--object` takes for each secret that images may be encrypted with; its id is its name."""
_ITERATION_TIME = 10
"""Milliseconds that the key is worked on: QEMU's two seconds are for secrets that are some."""


def suffix(image_format: Format) -> str:
    """What the names of files of this format end in, with the dot."""
    return f".{image_format.name}"


def create_options(image_format: Format, data_file: str | None = None) -> tuple[str, ...]:
    """What `qemu-img create -o` takes for the format, an option each; what is QEMU's default is left out.

    `data_file` is the file name of the image that `image_format.data_file` names. Raises ValueError if only one of the
    two is there.
    """
    if isinstance(image_format, Raw):
        if data_file is not None:
            raise ValueError("an image of format raw has no data file")
        return (f"key-secret={image_format.secret}", f"iter-time={_ITERATION_TIME}") if image_format.secret else ()
    if (image_format.data_file is None) != (data_file is None):
        raise ValueError(f"the data file {image_format.data_file} is to lie in {data_file}")
    options: dict[str, object] = {}
    if image_format.cluster_size != _DEFAULT.cluster_size:
        options["cluster_size"] = image_format.cluster_size
    if image_format.compat != _DEFAULT.compat:
        options["compat"] = image_format.compat
    if image_format.subclusters:
        options["extended_l2"] = "on"
    if image_format.lazy_refcounts:
        options["lazy_refcounts"] = "on"
    if image_format.refcount_bits != _DEFAULT.refcount_bits:
        options["refcount_bits"] = image_format.refcount_bits
    if image_format.compression != _DEFAULT.compression:
        options["compression_type"] = image_format.compression
    if image_format.secret:
        options["encrypt.format"] = "luks"
        options["encrypt.key-secret"] = image_format.secret
        options["encrypt.iter-time"] = _ITERATION_TIME
    if data_file is not None:
        options["data_file"] = data_file.replace(",", ",,")  # a comma ends an option (QEMU util/qemu-option.c)
    return tuple(f"{name}={value}" for name, value in options.items())


def header_options(image_format: Format) -> dict[str, str | int | bool]:
    """What `qemu-img info` tells of the options that an image of this format was made with (QAPI ImageInfo)."""
    if isinstance(image_format, Raw):
        return {}
    newer = {"extended-l2": image_format.subclusters, "lazy-refcounts": image_format.lazy_refcounts}
    return {
        "cluster-size": image_format.cluster_size,
        "compat": image_format.compat,
        "refcount-bits": image_format.refcount_bits,
        **(newer if image_format.compat == "1.1" else {}),
    }


def node(
    image_format: Format, file: Node | str, backing: Node | str | None = None, data_file: Node | str | None = None
) -> Node:
    """The options of a `blockdev-add` for an image whose bytes are `file`; each of the three is a node or its name.

    Without `backing` the image is opened alone, whatever its header says. Raises ValueError if raw is given one.
    """
    options: dict[str, object] = {"driver": image_format.name, "file": _reference(file)}
    if isinstance(image_format, Raw):
        if backing is not None or data_file is not None:
            raise ValueError("an image of format raw has neither backing file nor data file")
        return {**options, "key-secret": image_format.secret} if image_format.secret else options
    options["backing"] = _reference(backing)
    if image_format.secret:
        options["encrypt"] = {"format": "luks", "key-secret": image_format.secret}
    if data_file is not None:
        options["data-file"] = _reference(data_file)
    return options


def _reference(node: Node | str | None) -> object:
    return dict(node) if isinstance(node, Mapping) else node
