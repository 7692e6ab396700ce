"""The stacks of a run: which scenario runs on which, and why some cannot be had."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.errors import Unusable
from harness.stack import kinds
from harness.stack.block_devices import why_none
from harness.stack.kinds import Kinds
from harness.stack.offers import NotOffered, require, require_programs
from harness.stack.stack import Stack
from harness.trial.ground import Ground

_names = pytest.StashKey[list[str]]()
_unusable = pytest.StashKey[dict[str, str]]()
PASSED_ON = "chainproof_unusable"
"""What a worker's input calls the stacks that cannot be used."""
HOST = "host"


def stack_names(config: pytest.Config) -> list[str]:
    """The stacks that scenarios run on, sets expanded, programs replaced, upgrades added."""
    if _names not in config.stash:  # every scenario needs it several times
        sets = config.rootpath / "ci" / "stacks.toml"
        pieces = {piece: config.getoption(f"--{piece}") for piece in kinds.PIECES}
        names = [kinds.changed(name, pieces) for name in kinds.expanded(config.option.stack or [HOST], sets)]
        config.stash[_names] = kinds.upgraded(names, kinds.expanded(config.option.upgrade_to, sets))
    return config.stash[_names]


def procedure_names(config: pytest.Config) -> list[str]:
    """The stacks that the documented procedure runs on besides."""
    names = kinds.expanded(config.option.procedure_on, config.rootpath / "ci" / "stacks.toml")
    return [name for name in names if name not in stack_names(config)]


def prepare(config: pytest.Config, makes: Kinds) -> dict[str, str]:
    """Make every stack; a description of each, by name. Raises Unusable if too few are left."""
    described: dict[str, str] = {}
    unusable: dict[str, Unusable] = {}
    for name in (*stack_names(config), *procedure_names(config)):
        try:
            described[name] = str(makes.stack(name))
        except Unusable as error:
            unusable[name] = error
            described[name] = error.problem.splitlines()[0]
    lacking = [name for name in stack_names(config) if name in unusable]
    if lacking and (config.option.every_stack or lacking == stack_names(config)):
        raise Unusable("\n".join(str(unusable[name]) for name in lacking))
    config.stash[_unusable] = {name: str(error) for name, error in unusable.items()}
    return described


def unusable_stacks(config: pytest.Config) -> dict[str, str]:
    """The stacks that cannot be used, and why: found here, or by the run that this worker belongs to."""
    return config.stash.get(_unusable, getattr(config, "workerinput", {}).get(PASSED_ON, {}))


def stack_of(request: pytest.FixtureRequest, ground: Ground) -> Stack:
    """The stack of a parameter. Raises Unusable; where only the procedure would run on it, that is a skip."""
    config, name = request.config, getattr(request, "param", HOST)
    problem = unusable_stacks(config).get(name)
    if problem is not None and name in procedure_names(config):
        pytest.skip(problem.splitlines()[0])
    if problem is not None:
        raise Unusable(problem)
    return ground.kinds.stack(name)


def stack_and_scenario(item: pytest.Item) -> tuple[str, str] | None:
    """The name of the stack that a scenario runs on, and its id without it; None if it runs on none."""
    if "stack" not in getattr(item, "fixturenames", ()):
        return None
    callspec = getattr(item, "callspec", None)
    if callspec is None or "stack" not in callspec.params:
        return HOST, item.nodeid
    name = str(callspec.params["stack"])
    # the stack is the first parameter of all (pytest_generate_tests below comes first)
    rest = callspec.id.removeprefix(name).removeprefix("-")
    bare = item.nodeid.removesuffix(f"[{callspec.id}]")
    return name, f"{bare}[{rest}]" if rest else bare


def _concerned(config: pytest.Config, fixtures: Sequence[str]) -> list[str]:
    """The stacks that a scenario which takes these fixtures runs on: upgrades are for those that can upgrade."""
    names = stack_names(config)
    if "upgradable" not in fixtures:
        return [name for name in names if kinds.UPGRADE not in name]
    return [name for name in names if kinds.UPGRADE in name or not config.option.upgrade_to]


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make the stack a dimension of every scenario that uses one."""
    if "stack" not in metafunc.fixturenames:
        return
    names = _concerned(metafunc.config, metafunc.fixturenames)
    if metafunc.definition.get_closest_marker("elsewhere_too") is not None:
        names += procedure_names(metafunc.config)
    if names not in ([], [HOST]):
        metafunc.parametrize("stack", names, indirect=True, ids=names, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what runs on no stack: where all are upgrades, the scenarios that cannot upgrade."""

    def runs(item: pytest.Item) -> bool:
        fixtures: Sequence[str] = getattr(item, "fixturenames", ())
        return "stack" not in fixtures or bool(_concerned(config, fixtures))

    left_out = [item for item in items if not runs(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def require_needs(item: pytest.Item, stack: Stack, work: Path) -> None:
    """Raise NotOffered if the stack, or this machine in `work`, lacks what an item's marks say that it needs."""
    if item.get_closest_marker("devices") is not None and (why := why_none(work)):
        raise NotOffered(why)
    require(stack, *(name for mark in item.iter_markers("needs") for name in mark.args))
    require_programs(stack, *(name for mark in item.iter_markers("program") for name in mark.args))
