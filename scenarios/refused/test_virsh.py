"""What virsh must refuse before it calls libvirt: options that are malformed, or that exclude each other."""

from __future__ import annotations

from collections.abc import Mapping

from harness.trial.nouns import Vm
from harness.trial.trial import Trial

_NEEDS_ONE = "requires at least one of --timeout, --wait, --pivot, or --keep-overlay"


def _malformed(value: str, option: str, *, scaled: bool = False) -> str:
    return f"{'Scaled n' if scaled else 'N'}umeric value '{value}' for <{option}> option is malformed or out of range"


def _exclusive(one: str, other: str) -> str:
    return f"Options {one} and {other} are mutually exclusive"


LINES: Mapping[str, str] = {
    "blockcommit vm1 vda --active --bandwidth aaa": _malformed("aaa", "--bandwidth", scaled=True),
    "blockcommit vm1 vda --active --wait --timeout 0": _malformed("0", "timeout"),
    "blockcommit vm1 vda --active --wait --timeout aa": _malformed("aa", "timeout"),
    "blockcommit vm1 vda --active --pivot --keep-overlay": _exclusive("--pivot", "--keep-overlay"),
    "blockcommit vm1 vda --active --verbose": f"--verbose {_NEEDS_ONE}",
    "blockcommit vm1 vda --active --async": f"--async {_NEEDS_ONE}",
    "blockcommit vm1 vda --pivot --keep-overlay": _exclusive("--pivot", "--keep-overlay"),
    "blockcommit vm1 vda --base base --shallow --active --top": "expected syntax: --top <string>",
    "blockcommit vm1": "command 'blockcommit' requires <path> option",
    "blockcommit vm1 vda --nosuch": "command 'blockcommit' doesn't support option --nosuch",
    "blockcommit nosuch vda --active": "failed to get domain 'nosuch'",
    "blockpull vm1 vda --async": "Option --wait is required by option --async",
    "blockpull vm1 vda --verbose": "Option --wait is required by option --verbose",
    "blockcopy vm1 vda": "need either --dest or --xml",
    "blockcopy vm1 vda --dest /export/images/copy --pivot --finish": _exclusive("--pivot", "--finish"),
    "blockcopy vm1 vda --dest /export/images/copy --xml /dev/null": _exclusive("--dest", "--xml"),
    "blockcopy vm1 vda --dest /export/images/copy --granularity 1k --transient-job": _malformed("1k", "granularity"),
    "blockcopy vm1 vda --dest /export/images/copy --format raw --xml /dev/null": _exclusive("--dest", "--xml"),
    "blockjob vm1 vda --info --abort": _exclusive("--info", "--abort"),
    "blockjob vm1 vda --raw --pivot": _exclusive("--raw", "--pivot"),
    "blockjob vm1 vda --pivot --async --info": _exclusive("--info", "--pivot"),
    "blockjob vm1 vda --bandwidth aaa": _malformed("aaa", "--bandwidth", scaled=True),
    "blockresize vm1 vda aaa": _malformed("aaa", "size", scaled=True),
    "domblkthreshold vm1 vda aaa": _malformed("aaa", "threshold", scaled=True),
    "snapshot-create-as vm1 --no-metadata --print-xml --memspec": "expected syntax: --memspec <string>",
}
"""The words on stderr; exit status 1."""


def test_what_virsh_must_refuse_changes_nothing(trial: Trial, layered: Vm) -> None:
    """base <- sn1 <- sn2 <- cur (live)   stays   base <- sn1 <- sn2 <- cur (live)."""
    typed = {line: trial.type(f"virsh {line}") for line in LINES}

    assert {line: done.stderr.strip() for line, done in typed.items()} == {
        line: f"error: {words}" for line, words in LINES.items()
    }
    assert {done.exit_status for done in typed.values()} == {1}
    trial.verify("all refused")
    assert layered.disk("vda").chain() == layered.disk("vda").expected_chain()
