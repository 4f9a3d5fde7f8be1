"""Disk space for the checkpoints of a stage."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path

from trl_rlsp.doctor.finding import Finding
from trl_rlsp.stages.stage import Stage

GB = 1e9


def check_disk(stage: Stage) -> Iterator[Finding]:
    """Checkpoints and the final model against the free space of the output folder's disk."""
    if stage.elsewhere:
        yield Finding("disk", "not checked", "whether the checkpoints fit", "the stage runs on another machine")
        return
    checkpoints, one = kept_checkpoints(stage), checkpoint_bytes(stage)
    needed = checkpoints * one + one // 3  # the final model has no optimizer: a third
    folder = existing_parent(Path(str(stage.training.output_dir or ".")))
    free = shutil.disk_usage(folder).free
    if needed > free:
        fits = max(1, (free - one // 3) // max(one, 1))
        yield Finding(
            "disk",
            "error",
            f"{checkpoints} checkpoints of {one / GB:.3g} GB take {needed / GB:.3g} GB, "
            f"and {folder} has {free / GB:.3g} GB left",
            "a run that cannot write its checkpoint ends there, and may leave a broken one",
            f"save_total_limit: {fits}" if checkpoints > 1 else "output_dir: a folder on a larger disk",
        )


def checkpoint_bytes(stage: Stage) -> int:
    """Bytes of one checkpoint: what is trained, in its type, and two moments of AdamW for each weight.

    Raises:
        UnknownError: the model's configuration cannot be had here.
    """
    from trl_rlsp.planning import Architecture, Settings, optimizer_bytes, trained_bytes

    stage_settings = Settings.of(stage)
    architecture = Architecture.of(stage.config)
    return trained_bytes(architecture, stage_settings) + optimizer_bytes(architecture, stage_settings)


def kept_checkpoints(stage: Stage) -> int:
    """Checkpoints that stand on the disk at once; one more than `save_total_limit` while a new one is written."""
    training = stage.training
    strategy = str(getattr(training.save_strategy, "value", training.save_strategy))
    if strategy == "no":
        return 0
    every = training.save_steps if strategy == "steps" else 0
    written = 1
    if training.max_steps > 0 and every >= 1:
        written = math.ceil(training.max_steps / every)
    elif strategy == "epoch":
        written = math.ceil(training.num_train_epochs)
    limit = training.save_total_limit
    return min(written, limit + 1) if limit else written


def existing_parent(path: Path) -> Path:
    """The folder itself, or the nearest above it that exists."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())
