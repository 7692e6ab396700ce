"""`ci/run bench`: the ways in turn, several rounds, in one run; medians and ratios as a table and as JSON."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

from harness.bench.growth import NewTrial, by_data, by_length, by_virtual_size, by_workers
from harness.bench.ways import Laps, SavedGuestGone, Way, floor, harness, script
from harness.errors import ChainproofError
from harness.settings import Settings, default_cache, default_mode, default_work
from harness.stack.rooted import stand_on_a_mount
from harness.stack.stack import Stack
from harness.trial.ground import Ground, Platform
from harness.trial.trial import Trial

_TRIES = 3


@dataclass(frozen=True)
class Contender:
    """One way, on warm or cold guests."""

    name: str
    way: Way
    warm: bool
    stock: bool = False


CONTENDERS = (
    Contender("harness, warm", harness, True),
    Contender("harness, cold", harness, False),
    Contender("shell script, stock", script, False, stock=True),
    Contender("floor: bare API calls, warm", floor, True),
)


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(prog="ci/run bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each way is measured (%(default)s)")
    parser.add_argument("--growth", action="store_true", help="how cost grows, in place of the comparison")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    settings = Settings("auto", default_mode(), default_work(), default_cache(), Path("evidence"), 1.0, "warm")
    ground = Ground.prepared(settings)
    platform = Platform(ground, Stack.host())
    # and libvirt's own configuration: what a person would have
    as_shipped = replace(platform.machine, memory_mib=192, kernel="vmlinuz", command_line="console=ttyS0")
    print(f"{platform.stack}, {ground}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    if options.growth:
        with platform.daemon() as daemon:
            print_growth(lambda name: platform.trial(daemon, name))
        return
    rounds: dict[str, list[Laps]] = {contender.name: [] for contender in CONTENDERS}
    with platform.daemon() as tuned, platform.daemon(stock=True) as stock:
        with platform.trial(tuned, "warm-up") as trial:
            harness(trial)
        for number in range(options.rounds):
            for contender in CONTENDERS:
                daemon, shape = (stock, as_shipped) if contender.stock else (tuned, platform.machine)
                new = partial(platform.trial, daemon, contender.name, warm=contender.warm, machine=shape)
                rounds[contender.name].append(measured(contender, new))
            print(f"round {number + 1} of {options.rounds}", flush=True)
    print(table(rounds))
    if options.json:
        options.json.write_text(json.dumps({name: [lap.seconds for lap in laps] for name, laps in rounds.items()}))


def measured(contender: Contender, new: Callable[[], Trial]) -> Laps:
    """One round of a way. Another run may evict the saved guest that it starts from; then it is made again."""
    for _ in range(_TRIES):
        with suppress(SavedGuestGone), new() as trial:
            return contender.way(trial)
        with new() as trial:
            harness(trial)
    raise ChainproofError(f"{contender.name}: other runs have evicted its saved guest {_TRIES} times")


def print_growth(new: NewTrial) -> None:
    """Print a line per size as soon as it is measured, in milliseconds by phase."""
    for way in (by_length, by_data, by_virtual_size):
        for name, laps in way(new):
            phases = ", ".join(f"{phase} {1000 * seconds:.0f}" for phase, seconds in laps.seconds.items())
            print(f"{name:20} {1000 * laps.total:8.0f} ms  ({phases})", flush=True)
    for name, seconds in by_workers():
        print(f"{name:20} {seconds:8.1f} s", flush=True)


def table(measured: dict[str, list[Laps]]) -> str:
    """Medians in milliseconds, by phase, and the ratios that matter (of medians, in this one run)."""
    lines = []
    totals = {name: median(lap.total for lap in laps) for name, laps in measured.items()}
    for name, laps in measured.items():
        phases = ", ".join(f"{phase} {1000 * _median(laps, phase):.0f}" for phase in laps[0].seconds)
        lines.append(f"{name:28} {1000 * totals[name]:7.0f} ms  ({phases})")
    warm, cold, shell, bare = (totals[contender.name] for contender in CONTENDERS)
    lines.append(f"shell script / harness, warm  {shell / warm:6.1f}   (to be at least 10)")
    lines.append(f"harness, warm / floor         {warm / bare:6.2f}   (to be at most 1.3)")
    lines.append(f"harness, cold / shell script  {cold / shell:6.2f}   (to be at most 0.7)")
    return "\n".join(lines)


def _median(laps: Sequence[Laps], phase: str) -> float:
    return median(lap.seconds.get(phase, 0.0) for lap in laps)


if __name__ == "__main__":
    stand_on_a_mount()
    main()
