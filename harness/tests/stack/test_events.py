from __future__ import annotations

from harness.stack.events import Event, EventHub, EventKind


class Connection:
    """What the hub needs of libvirt's connection."""

    def domainEventRegisterAny(self, _domain: object, _kind: int, _tell: object, _opaque: object) -> int:  # noqa: N802
        return 1

    def registerCloseCallback(self, _tell: object, _opaque: object) -> None:  # noqa: N802
        pass


class Vm:
    def name(self) -> str:
        return "vm1"


def test_events_go_on_after_a_restart_where_they_ended() -> None:
    heard: list[Event] = []
    first = EventHub(Connection())
    first.listeners.append(heard.append)
    since = first.mark()
    first._block_job(None, Vm(), "vda", 4, 3, EventKind.BLOCK_JOB_2)

    second = EventHub(Connection(), first)
    second._block_job(None, Vm(), "vda", 4, 0, EventKind.BLOCK_JOB_2)

    assert [event.status for event in second.events[since:]] == ["ready", "completed"]
    assert heard == second.events
