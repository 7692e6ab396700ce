"""The oracle says what the documented procedure says, and obeys the laws of layers."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.oracle.content import Content, Impossible
from harness.oracle.image import Qcow2
from harness.oracle.job import TWO_PHASES
from harness.oracle.parts import HOLE, UNDEFINED, ZERO, Part, Perhaps, agrees
from harness.tests.oracle.disks import SMALL, disks, done, guest_acts, seed_at_t0

T0 = """\
image  contains      shows
base   AAAA--------  AAAA--------
sn1    --BBBB------  AABBBB------
sn2    -----CCCC---  AABBBCCCC---
cur    D-------DD--  DABBBCCCDD--
guest                DABBBCCCDD--"""

T1 = """\
image  contains      shows
base   DABBBCCCDD--  DABBBCCCDD--
sn1    --BBBB------  DABBBBCCDD--
sn2    -----CCCC---  DABBBCCCCD--
cur    D-------DD--  DABBBCCCDD--
guest                DABBBCCCDD--"""

T2 = """\
image  contains      shows
base   EABBBCCCDDE-  EABBBCCCDDE-
sn1    --BBBB------  EABBBBCCDDE-
sn2    -----CCCC---  EABBBCCCCDE-
cur    D-------DD--  DABBBCCCDDE-
guest                EABBBCCCDDE-"""


def test_the_documented_procedure_gives_the_documented_tables() -> None:
    disk = seed_at_t0()
    assert str(disk.table()) == T0
    assert disk.chain() == ("base", "sn1", "sn2", "cur")

    disk = disk.active_commit("base").ready()
    assert str(disk.table()) == T1
    assert disk.chain() == ("base", "sn1", "sn2", "cur")

    disk = disk.pivot()
    assert str(disk.table()) == T1
    assert disk.chain() == ("base",)
    assert disk.files() == ("base", "sn1", "sn2", "cur")

    assert str(disk.write("E", (0, 10)).table()) == T2


def test_a_write_while_in_sync_is_in_the_active_layer_and_in_the_target() -> None:
    disk = seed_at_t0().active_commit("base").ready().write("E", (0, 10))

    table = disk.table()
    assert [table.drawn(disk.contains(name)) for name in disk.files()] == [
        "?ABBBCCCDD?-",  # it gets there when the job has caught up
        "--BBBB------",
        "-----CCCC---",
        "E-------DDE-",
    ]
    for ended in (disk.abort(), disk.pivot()):
        assert table.drawn(ended.contains("base")) == "EABBBCCCDDE-"
    assert disk.abort().chain() == ("base", "sn1", "sn2", "cur")
    assert disk.abort().guest() == disk.pivot().guest() == disk.guest()


def test_a_commit_in_mid_chain_moves_the_committed_layers_down_and_leaves_their_files() -> None:
    disk = seed_at_t0().commit("sn2", "sn1").completed()

    assert disk.chain() == ("base", "sn1", "cur")
    assert str(disk.table()) == (
        "image  contains      shows\n"
        "base   AAAA--------  AAAA--------\n"
        "sn1    --BBBCCCC---  AABBBCCCC---\n"
        "sn2    -----CCCC---  AABBBCCCC---\n"
        "cur    D-------DD--  DABBBCCCDD--\n"
        "guest                DABBBCCCDD--"
    )


def test_a_pull_moves_the_layers_between_up_and_leaves_their_files() -> None:
    disk = seed_at_t0().pull("base").completed()

    assert disk.chain() == ("base", "cur")
    table = disk.table()
    assert table.drawn(disk.contains("cur")) == "D-BBBCCCDD--"
    assert table.drawn(disk.contains("sn2")) == "-----CCCC---"
    assert table.drawn(seed_at_t0().pull().completed().contains("cur")) == "DABBBCCCDD--"


def test_a_full_copy_stands_alone_and_a_shallow_one_on_the_same_backing_file() -> None:
    full = seed_at_t0().copy("copy").ready().pivot()
    shallow = seed_at_t0().copy("copy", shallow=True).ready().pivot()

    assert full.chain() == ("copy",)
    assert shallow.chain() == ("base", "sn1", "sn2", "copy")
    assert shallow.contains("copy") == seed_at_t0().contains("cur")
    assert full.guest() == shallow.guest() == seed_at_t0().guest()


def test_a_write_to_part_of_a_hole_copies_the_rest_of_the_cluster() -> None:
    disk = Content.new("base", SMALL, Qcow2(8192)).write("A", (0,)).snapshot("cur").write("B", ranges=[(4096, 8192)])

    assert disk.contains("cur")[:5] == ("A", "B", "B", "A", HOLE)
    assert disk.contains("base")[:5] == ("A", "A", "A", "A", HOLE)


def test_a_write_to_part_of_a_hole_over_nothing_fills_the_cluster_with_zeros() -> None:
    disk = Content.new("base", SMALL, Qcow2(8192)).write("A", ranges=[(0, 4096)])

    assert disk.contains("base")[:3] == ("A", ZERO, HOLE)


def test_zeros_hide_what_lies_below_and_are_committed() -> None:
    disk = seed_at_t0().zero((1,))

    assert disk.table().drawn(disk.guest()) == "D0BBBCCCDD--"
    assert disk.active_commit("base").ready().pivot().contains("base")[16] is ZERO


def test_a_discarded_cluster_reads_as_zeros_even_over_a_backing_file() -> None:
    disk = seed_at_t0().discard((0, 1, 11))

    assert disk.table().drawn(disk.contains("cur")) == "00------DD-0"
    assert disk.table().drawn(Content.new("base").write("A", (0,)).discard((0, 1)).guest()) == "0-----------"


def test_of_a_partly_discarded_cluster_nothing_is_promised_unless_it_was_zero() -> None:
    disk = (
        Content.new("base", SMALL, Qcow2(8192))
        .write("A", (0,))
        .zero((1,))
        .discard(ranges=[(4096, 4096), (16384, 4096)])
    )

    assert disk.guest()[:5] == ("A", UNDEFINED, "A", "A", ZERO)


def test_while_a_mirror_is_awake_a_discard_promises_nothing() -> None:
    """QEMU 7.2 drops it; one that does not may be right too."""
    disk = seed_at_t0().active_commit("base").ready().discard((0, 1, 11))

    table = disk.table()
    assert table.drawn(disk.contains("cur")) == "??------DD-?"
    assert table.drawn(disk.contains("base")) == "??BBBCCCDD-?"
    assert table.drawn(disk.guest()) == "??BBBCCCDD-?"


def test_an_unflushed_write_is_undefined_after_a_crash_and_the_rest_is_not() -> None:
    disk = seed_at_t0().flush().write("E", (10,)).crash()

    assert disk.table().drawn(disk.guest()) == "DABBBCCCDD?-"
    assert disk.table().drawn(disk.contains("base")) == "AAAA--------"


def test_a_crash_in_sync_spoils_the_base_but_not_the_guest() -> None:
    disk = seed_at_t0().flush().active_commit("base").ready().crash()

    assert disk.job is None
    assert disk.table().drawn(disk.contains("base")) == "?A????????--"
    assert disk.guest() == seed_at_t0().guest()


def test_a_removed_file_takes_the_readability_of_those_above_with_it() -> None:
    disk = seed_at_t0().active_commit("base").ready().pivot().remove("sn1")

    assert [disk.readable(name) for name in disk.files()] == [True, False, False]
    row = disk.table().row("sn2")
    assert row is not None
    assert row.shows is None
    with pytest.raises(ValueError, match="sn2 cannot be read: its backing file sn1 was removed"):
        disk.shows("sn2")


def test_what_cannot_be_done_is_refused_in_words() -> None:
    disk = seed_at_t0()
    ready = disk.active_commit("base").ready()

    for act, words in (
        (lambda: disk.commit("cur", "base").completed(), "cur is the active layer: that takes an active commit"),
        (
            lambda: disk.commit("base", "sn1").completed(),
            "sn1 is not below base in the chain base <- sn1 <- sn2 <- cur",
        ),
        (lambda: disk.commit("sn1", "other").completed(), "other is not in the chain"),
        (lambda: disk.active_commit("cur").ready(), "cur is not below cur"),
        (lambda: ready.snapshot("new"), "a snapshot cannot begin during the active-commit that writes to base"),
        (lambda: ready.remove("base"), "base is in use"),
        (lambda: disk.remove("sn1"), "sn1 is in use"),
        (lambda: disk.snapshot("sn1"), "the name sn1 is taken"),
        (disk.pivot, "there is no job"),
        (disk.abort, "there is no job"),
        (lambda: disk.pull("cur").completed(), "cur is not below the active layer cur"),
        (lambda: disk.write("A", (12,)), "lie outside the disk"),
        (lambda: disk.write("A"), "neither a cell nor a range"),
        (lambda: disk.write("A", ranges=[(0, 512)]), "are not whole parts"),
        (lambda: disk.contains("other"), "there is no file other"),
        (lambda: Content.new("base", None, Qcow2(512)), "no multiple of the part size"),
        (lambda: disk.active_commit("base").pivot(), "the active-commit that writes to base is not ready"),
        (lambda: disk.active_commit("base").completed(), "does not complete by itself"),
        (lambda: disk.pull().ready(), "a pull is never ready"),
        (lambda: disk.resize(4096), "has no room for 12 cells"),
    ):
        with pytest.raises(ValueError, match=words):
            act()


# the laws


@given(disks(least=2), st.data())
def test_no_job_and_no_snapshot_changes_what_the_guest_sees(disk: Content, data: st.DataObject) -> None:
    chain = disk.chain()
    base = data.draw(st.sampled_from(chain[:-1]))
    ready = disk.active_commit(base).ready()
    copied = disk.copy("copy", shallow=data.draw(st.booleans())).ready()

    for after in (disk.snapshot("new"), ready, ready.pivot(), ready.abort(), copied, copied.pivot(), copied.abort()):
        assert after.guest() == disk.guest()
    for after in (disk.pull().completed(), disk.pull(base).completed(), ready.flush().crash()):
        assert after.guest() == disk.guest()


@given(disks(least=3), st.data())
def test_a_commit_leaves_the_views_above_and_the_contents_of_all_but_the_base(
    disk: Content, data: st.DataObject
) -> None:
    chain = disk.chain()
    low = data.draw(st.integers(0, len(chain) - 3))
    top = data.draw(st.integers(low + 1, len(chain) - 2))
    after = disk.commit(chain[top], chain[low]).completed()

    assert after.chain() == chain[: low + 1] + chain[top + 1 :]
    assert after.files() == disk.files()
    for name in chain[top:]:
        assert after.shows(name) == disk.shows(name)
    for name in chain[:low]:
        assert after.shows(name) == disk.shows(name)
    for name in set(chain) - {chain[low]}:
        assert after.contains(name) == disk.contains(name)
    assert after.shows(chain[low]) == disk.shows(chain[top])


@given(disks(least=2), st.data())
def test_an_active_commit_writes_to_its_target_alone(disk: Content, data: st.DataObject) -> None:
    base = data.draw(st.sampled_from(disk.chain()[:-1]))
    ready = disk.active_commit(base).ready()

    assert ready.chain() == disk.chain()
    assert ready.pivot().chain() == disk.chain()[: disk.chain().index(base) + 1]
    assert ready.shows(base) == disk.guest()
    for name in set(disk.files()) - {base}:
        assert ready.contains(name) == disk.contains(name)


@given(disks(least=2), st.data())
def test_a_pull_leaves_every_file_below_untouched(disk: Content, data: st.DataObject) -> None:
    base = data.draw(st.sampled_from([None, *disk.chain()[:-1]]))
    after = disk.pull(base).completed()

    for name in disk.files()[:-1]:
        assert after.contains(name) == disk.contains(name)
        assert after.shows(name) == disk.shows(name)
    if base is None:
        assert after.chain() == (disk.active,)


@given(disks(), st.data())
def test_a_write_changes_exactly_its_parts_of_the_view_and_the_active_file_alone(
    disk: Content, data: st.DataObject
) -> None:
    act = data.draw(guest_acts(disk.geometry))
    assume(act.name == "write")
    parts = disk.geometry.parts_of(ranges=act.ranges)
    after = done(disk, act)

    for part, (before, now) in enumerate(zip(disk.guest(), after.guest(), strict=True)):
        if part in parts:
            assert now == act.label
        else:
            assert now == before or (before is HOLE and now is ZERO)
    for name in set(disk.files()) - {disk.active}:
        assert after.contains(name) == disk.contains(name)


@given(disks(least=2), st.data())
def test_while_in_sync_the_target_shows_what_the_guest_sees_and_a_pivot_changes_nothing(
    disk: Content, data: st.DataObject
) -> None:
    ready = data.draw(
        st.sampled_from(
            [
                *(disk.active_commit(base).ready() for base in disk.chain()[:-1]),
                disk.copy("copy").ready(),
                disk.copy("copy", shallow=True).ready(),
            ]
        )
    )
    for act in data.draw(st.lists(guest_acts(disk.geometry), max_size=4)):
        ready = done(ready, act)

    view = [ZERO if part is HOLE else part for part in ready.guest()]
    assert [ZERO if part is HOLE else part for part in ready.pivot().guest()] == view
    assert ready.abort().guest() == ready.guest()


@given(disks())
def test_every_cluster_is_allocated_as_a_whole(disk: Content) -> None:
    for name, layer in disk.layers.items():
        for part in range(disk.geometry.parts):
            around = [layer.own[other] for other in disk.geometry.unit_around(part, layer.format.unit)]
            if UNDEFINED not in around:
                assert len({value is HOLE for value in around}) == 1, name


# the phases of a job


JOBS: dict[str, Callable[[Content], Content]] = {
    "active commit": lambda disk: disk.active_commit(disk.chain()[0]),
    "commit": lambda disk: disk.commit(disk.chain()[-2], disk.chain()[0]),
    "pull": lambda disk: disk.pull(),
    "partial pull": lambda disk: disk.pull(disk.chain()[0]),
    "copy": lambda disk: disk.copy("copy"),
    "shallow copy": lambda disk: disk.copy("copy", shallow=True),
}


def ended(disk: Content) -> Content:
    job = disk.job
    assert job is not None
    return disk.ready().abort() if job.kind in TWO_PHASES else disk.completed()


def test_in_phase_one_exactly_what_ready_will_change_is_undefined() -> None:
    disk = seed_at_t0().flush().active_commit("base")

    table = disk.table()
    assert table.drawn(disk.contains("base")) == "?A????????--"
    assert table.drawn(disk.shows("sn1")) == "?ABBBB????--"
    assert table.drawn(disk.guest()) == "DABBBCCCDD--"
    disk = disk.write("E", (1, 11))
    assert table.drawn(disk.contains("base")) == "??????????-?"
    assert table.drawn(disk.guest()) == "DEBBBCCCDD-E"
    for after in (disk.abort(), disk.flush().crash()):
        assert table.drawn(after.contains("base")) == "??????????-?"
        assert table.drawn(after.guest()) == "DEBBBCCCDD-E"
    assert table.drawn(disk.ready().contains("base")) == "DEBBBCCCDD-E"


def test_while_a_pull_runs_what_it_fills_is_a_hole_or_what_is_read_there() -> None:
    disk = seed_at_t0().pull("base")

    table = disk.table()
    assert table.drawn(disk.contains("cur")) == "D-%%%%%%DD--"
    assert table.drawn(disk.guest()) == "DABBBCCCDD--"
    assert agrees(disk.contains("cur")[2 * 16], HOLE, holes_read_zero=False)
    assert agrees(disk.contains("cur")[2 * 16], "B", holes_read_zero=False)
    assert not agrees(disk.contains("cur")[2 * 16], "C", holes_read_zero=False)
    assert not agrees(disk.contains("cur")[2 * 16], ZERO, holes_read_zero=False)
    aborted = disk.abort().write("E", ranges=[(2 * 65536, 4096)])
    assert aborted.contains("cur")[32:34] == ("E", "B")
    assert table.drawn(aborted.pull("base").completed().contains("cur")) == "D-~BBCCCDD--"


def test_unflushed_writes_that_a_crash_may_lose_are_those_since_the_flush() -> None:
    disk = Content.new("base").write("A", (0,)).flush().write("B", (1,)).zero((2,)).discard((3,))

    assert disk.table().drawn(disk.crash().contains("base")) == "A???--------"
    assert disk.flush().crash().contains("base") == disk.contains("base")
    assert disk.snapshot("cur").crash().contains("base") == disk.contains("base")  # a snapshot flushes what it covers


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS.keys())
@given(data=st.data())
def test_a_job_that_runs_shows_the_guest_its_disk_and_promises_only_what_its_end_keeps(
    job: Callable[[Content], Content], data: st.DataObject
) -> None:
    disk = data.draw(disks(least=3, mixed=True))
    running = job(disk)
    for act in data.draw(st.lists(guest_acts(disk.geometry), max_size=3)):
        running, disk = done(running, act), done(disk, act)

    assert promises(running.guest(), disk.guest()) or any(value is UNDEFINED for value in running.guest())
    after = ended(running)
    for name in running.files():
        assert promises(running.contains(name), after.contains(name)), name
        assert promises(running.abort().contains(name), after.contains(name)), name
    for name in set(running.files()) - {after.active, "copy", running.chain()[0]}:
        assert running.contains(name) == disk.contains(name)


def promises(weaker: Sequence[Part], stronger: Sequence[Part]) -> bool:
    """Whether all that `stronger` allows is allowed by `weaker`, too."""
    return all(
        one == other
        or (isinstance(one, Perhaps) and other in (HOLE, one.value))
        or one is UNDEFINED
        or {one, other} <= {HOLE, ZERO}
        for one, other in zip(weaker, stronger, strict=True)
    )


# writes in flight


def test_a_write_in_flight_is_undefined_until_it_is_acknowledged() -> None:
    disk = Content.new("base").write("A", range(4)).flush()
    begun = disk.begin_write("B", (1, 2))

    assert begun.contains("base")[16:48] == (UNDEFINED,) * 32
    assert begun.guest()[:16] == disk.guest()[:16]
    assert begun.end_write().flush() == disk.write("B", (1, 2)).flush()
    with pytest.raises(Impossible, match="in flight already"):
        begun.begin_write("C", (2,))


def test_one_that_met_a_snapshot_is_seen_by_the_guest_whichever_image_has_it() -> None:
    disk = Content.new("base").write("A", range(4)).flush()
    met = disk.begin_write("B", (1,)).snapshot("sn1").end_write()

    assert met.guest()[16:32] == ("B",) * 16
    assert met.contains("base")[16:32] == (UNDEFINED,) * 16
    assert met.shows("sn1")[16:32] == (UNDEFINED,) * 16
    merged = met.active_commit("base").ready().pivot()
    assert merged.guest()[16:32] == ("B",) * 16
    assert merged.guest()[:16] == ("A",) * 16
    assert merged.write("C", (1,)).contains("base")[16:32] == ("C",) * 16
    assert merged.write("C", (1,)).acknowledged == {}


def test_one_that_nobody_waited_for_may_be_lost_with_qemu() -> None:
    disk = Content.new("base").write("A", range(4)).flush()
    lost = disk.begin_write("B", (1,)).crash()

    assert lost.in_flight == {}
    assert lost.guest()[16:32] == (UNDEFINED,) * 16
    assert lost.guest()[32:64] == ("A",) * 32
    met = disk.begin_write("B", (1,)).snapshot("sn1").end_write()
    assert met.flush().crash().guest()[16:32] == ("B",) * 16
    assert met.crash().guest()[16:32] == (UNDEFINED,) * 16


def test_a_base_grows_with_what_is_committed_into_it_and_an_overlay_is_as_large_as_what_it_covers() -> None:
    grown = seed_at_t0().resize(1 << 22).snapshot("later")

    assert grown.layer("later").size == 1 << 22
    assert grown.active_commit("base").layer("base").size == 1 << 22
    assert grown.commit("cur", "sn2").completed().layer("sn2").size == 1 << 22
    assert grown.commit("sn2", "base").completed().layer("base").size == seed_at_t0().size


def test_every_end_of_a_job_is_kept_in_order() -> None:
    disk = Content.new("base").snapshot("sn1").snapshot("sn2")
    disk = disk.active_commit("base").abort().commit("sn1", "base").completed().active_commit("base").ready().pivot()

    told = [str(end) for end in disk.ends]
    assert told == ["active-commit canceled", "commit completed", "active-commit completed"]
    assert all(end.certain for end in disk.ends)


def test_an_end_that_nobody_may_have_heard_of_is_not_certain() -> None:
    disk = Content.new("base").snapshot("sn1")

    assert [end.certain for end in disk.pull().unheard().completed().ends] == [False]
    assert [end.certain for end in disk.active_commit("base").crash().ends] == [False]
    assert [end.certain for end in disk.either(disk.pull().completed()).ends] == [False]
    # a pivot waits for its event, whichever daemon it is asked of
    assert [end.certain for end in disk.active_commit("base").ready().unheard().pivot().ends] == [True]


def test_a_pull_that_copies_nothing_leaves_what_surrounds_a_discard_as_it_is() -> None:
    """Found by exploring: what is in doubt in the active file itself was taken for something that is copied up."""
    disk = Content.new("base").write("A", (3,)).snapshot("sn1").snapshot("cur").pull("sn1")

    pulled = disk.discard(ranges=((3 * 65536 - 4096, 8192),)).flush().completed()

    around = pulled.contains("cur")[3 * 16 + 1 : 4 * 16]
    assert set(around) == {HOLE}


def test_a_write_that_was_begun_is_over_when_the_guest_writes_there_again() -> None:
    disk = Content.new("base").begin_write("A", (1,)).write("B", (1,))

    assert not disk.in_flight
    assert disk.guest()[16:32] == ("B",) * 16


def test_a_discard_while_a_pull_is_on_may_have_no_effect() -> None:
    disk = Content.new("base").write("A", (1,)).snapshot("cur").pull()

    assert set(disk.discard((1,)).guest()[16:32]) == {UNDEFINED}


def test_a_shallow_copy_is_as_large_as_the_disk_and_not_as_what_is_below_it() -> None:
    disk = Content.new("base").snapshot("cur").resize(1 << 20).copy("copy", shallow=True)

    assert disk.layer("copy").size == 1 << 20


def test_a_discard_that_need_not_be_passed_on_may_have_no_effect() -> None:
    disk = Content.new("base").write("A", (1,))

    assert set(disk.discard((1,), passed_on=False).guest()[16:32]) == {UNDEFINED}


def test_a_revert_shows_the_instant_and_takes_what_was_active() -> None:
    content = Content.new("base").write("A", (0,)).snapshot("o1").write("B", (0, 1)).snapshot("o2").write("C", (2,))
    reverted = content.reverted("base", "r1")

    assert reverted.chain() == ("base", "r1")
    assert reverted.files() == ("base", "o1", "r1")
    assert reverted.guest() == Content.new("base").write("A", (0,)).guest()
