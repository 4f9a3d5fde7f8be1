"""The settings as TRL judges them, and the data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trl_rlsp.doctor.finding import Finding
from trl_rlsp.errors import ConfigError, MissingColumnError, MissingDependencyError, RLSPError, SourceError
from trl_rlsp.stages.stage import Stage
from trl_rlsp.verification.code.sandbox import require_sandbox

COLUMNS = {"grpo": ("prompt", "solution"), "sft": ()}


def check_settings(stage: Stage) -> Iterator[Finding]:
    """What the stage's own command refuses before it loads anything."""
    try:
        if stage.elsewhere or not stage.arguments:  # TRL's own validation asks for the hardware
            stage.data.required()
            if stage.kind == "grpo":
                stage.rewards.close()
        else:
            refused_here(stage)
    except RLSPError as error:
        what = f"`rlsp {stage.kind}` refuses the settings"
        yield Finding("settings", "error", what, str(error), "as the message says")


def refused_here(stage: Stage) -> None:
    """Parse the stage as its command does.

    Raises:
        ConfigError: what the command refuses.
    """
    from trl_rlsp.stages.stage import parse_grpo, parse_sft

    if stage.kind == "sft":
        parse_sft(list(stage.arguments))
    else:
        parse_grpo(list(stage.arguments))[1].close()


def check_data(stage: Stage) -> Iterator[Finding]:
    """Whether the source is there and has what the stage needs."""
    name, source = "data", str(stage.data.dataset)
    try:
        rows = stage.rows
    except SourceError as error:
        if on_the_hub(source):
            yield Finding(name, "not checked", f"the data set {source!r}", str(error))
        else:
            yield Finding(name, "error", f"there is no data at {source!r}", str(error), "dataset: SOURCE")
        return
    except RLSPError as error:
        columns = isinstance(error, MissingColumnError) or "column" in str(error)
        line = "dataset_columns: {problem: COLUMN, answer: COLUMN}" if columns else "dataset: SOURCE"
        what = "the data set lacks a column" if columns else "the data set cannot be used"
        yield Finding(
            name, "error", what, str(error), line if not isinstance(error, ConfigError) else "dataset: SOURCE"
        )
        return
    missing = [column for column in COLUMNS[stage.kind] if column not in rows.column_names]
    if missing:
        yield Finding(
            name, "error", f"no column {missing[0]!r}", "the verifier needs it", "dataset_columns: {answer: COLUMN}"
        )
    try:
        require_sandbox(rows.column_names)
    except MissingDependencyError as error:
        yield Finding(name, "error", "no sandbox for programs", str(error), "apt-get install bubblewrap")


def on_the_hub(source: str) -> bool:
    """Whether a source is fetched from the hub, so that it may be there and out of reach from here."""
    from trl_rlsp.problems.presets import find_preset
    from trl_rlsp.problems.readers import FILE_EXTENSIONS

    path = Path(source)
    if source.startswith("reasoning_gym:") or path.exists() or path.suffix.lower() in FILE_EXTENSIONS:
        return False
    return find_preset(source) is not None or source.count("/") == 1
