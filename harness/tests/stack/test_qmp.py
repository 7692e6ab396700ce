"""Commands of QMP in libvirtd's log."""

from __future__ import annotations

from harness.stack.qmp import named

_LINE = "2026-11-26 14:00:00.000+0000: 7: info : qemuMonitorSend:862 : QEMU_MONITOR_SEND_MSG: mon=0x7f msg={} fd=-1"


def test_a_command_is_named_by_the_line_that_sends_it() -> None:
    assert named(_LINE.format('{"execute":"block-commit","arguments":{"device":"x"},"id":"1"}')) == ["block-commit"]


def test_what_a_transaction_puts_together_is_named_too() -> None:
    sent = '{"execute":"transaction","arguments":{"actions":[{"type":"blockdev-snapshot","data":{}}]}}'
    assert named(_LINE.format(sent)) == ["transaction", "blockdev-snapshot"]


def test_an_answer_names_no_command() -> None:
    assert named('QEMU_MONITOR_RECV_REPLY: mon=0x7f reply={"return": {"execute": "x"}}') == []
