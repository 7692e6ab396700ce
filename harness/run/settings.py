"""From pytest's options to the settings of a run."""

from __future__ import annotations

import pytest

from harness.settings import Settings, default_cache, default_mode
from harness.trial.ground import Ground

_ground = pytest.StashKey[Ground]()


def settings_of(config: pytest.Config) -> Settings:
    """What the options say."""
    option = config.option
    mode = default_mode() if option.mode == "auto" else option.mode
    work, evidence = option.work_dir.absolute(), option.evidence.absolute()
    cache, deadlines = default_cache(), option.deadlines
    return Settings(
        option.accel, mode, work, cache, evidence, deadlines, option.guest, option.power_loss, option.coverage
    )


def ground_of(config: pytest.Config) -> Ground:
    """The ground that the run stands on, prepared once per process. Raises Unusable."""
    if _ground not in config.stash:
        config.stash[_ground] = Ground.prepared(settings_of(config))
    return config.stash[_ground]
