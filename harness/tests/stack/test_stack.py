from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import Unusable
from harness.stack.stack import Stack


def test_a_missing_program_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        Unusable, match="not installed: libvirtd, virsh, qemu-system-x86_64, qemu-img; run: ci/run doctor"
    ):
        Stack.host(str(tmp_path))
