"""`rlsp doctor --config FILE`: what is wrong with a stage, before a GPU is paid for."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from trl_rlsp.errors import ConfigError
from trl_rlsp.stages.parsing import parse_known

if TYPE_CHECKING:
    from trl_rlsp.doctor import Finding
    from trl_rlsp.stages.stage import Stage

COLORS = {"error": "red", "warning": "yellow", "not checked": "blue"}


@dataclass
class DoctorArguments:
    """Which stage to check, and for which machine."""

    config: Path | None = field(default=None, metadata={"help": "the stage's YAML file"})
    stage: Literal["sft", "grpo"] | None = field(
        default=None, metadata={"help": "kind of the stage; default by its fields"}
    )
    processes: int | None = field(
        default=None, metadata={"help": "ranks that the stage will run on; default $WORLD_SIZE or 1"}
    )
    elsewhere: bool = field(
        default=False,
        metadata={"flag": True, "help": "it will run on another machine: leave out hardware, disk and judge"},
    )
    json: bool = field(default=False, metadata={"flag": True, "help": "print the findings as JSON"})


def run_doctor(arguments: Sequence[str]) -> int:
    """Check a stage's YAML file and print what is found.

    Args:
        arguments: `--config FILE`, options, and overrides as the stage's own command takes them.

    Returns:
        1 if there is an error among the findings, else 0.

    Raises:
        ConfigError: no file, or a field that no stage has.
    """
    from trl_rlsp.doctor import examine

    given, stage = parse_doctor(arguments)
    found = examine(stage)
    if given.json:
        print(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        show(found, given.config or Path())
    return int(any(finding.severity == "error" for finding in found))


def parse_doctor(arguments: Sequence[str]) -> tuple[DoctorArguments, Stage]:
    """The command's own arguments, and the stage that the others describe.

    Raises:
        ConfigError: no file, or a field that no stage has.
    """
    from trl_rlsp.stages.models import offline_without_network
    from trl_rlsp.stages.stage import kind_of, read_stage

    described = (
        "Check the YAML file of `rlsp sft` or `rlsp grpo` without loading weights. Further arguments override its "
        "fields. Ends with status 1 if an error is found."
    )
    given, overrides = parse_known((DoctorArguments,), arguments, "rlsp doctor", description=described)
    if given.config is None:
        raise ConfigError("no stage: give its YAML file with --config FILE")
    if given.processes is not None and given.processes < 1:
        raise ConfigError(f"--processes is a number of ranks, at least 1, got {given.processes}")
    offline_without_network()
    kind = given.stage or kind_of(given.config)
    words = ["--config", str(given.config), *overrides]
    return given, read_stage(kind, words, processes=given.processes, elsewhere=given.elsewhere)


def show(found: list[Finding], path: Path) -> None:
    """Print findings, each with the line of the file to change."""
    from trl_rlsp.text.terminal import Terminal

    console = Terminal(soft_wrap=True)
    text = path.read_text(encoding="utf-8")
    for finding in found:
        console.print(finding.severity, style=COLORS[finding.severity], end=" ")
        console.print(f"{finding.check}: {finding.what}")
        console.print(f"    {finding.why}")
        if finding.change:
            console.print(f"    change {where(finding, path, text)}")
    counts = {name: sum(finding.severity == name for finding in found) for name in COLORS}
    summary = f"{counts['error']} errors, {counts['warning']} warnings, {counts['not checked']} not checked"
    console.print(f"{path}: {summary}")


def where(finding: Finding, path: Path, text: str) -> str:
    """Where a finding's line goes: over the line that sets the field, or into the file.

    Example:
        >>> from trl_rlsp.doctor import Finding
        >>> where(Finding("bf16", "error", "", "", "bf16: false"), Path("grpo.yaml"), "seed: 1\\nbf16: true # fast\\n")
        'grpo.yaml:2: `bf16: true` to `bf16: false`'
    """
    if finding.field is None:
        return finding.change
    for number, line in enumerate(text.splitlines(), start=1):
        if re.match(rf"{finding.field}\s*:", line):
            return f"{path}:{number}: `{line.split(' #')[0].strip()}` to `{finding.change}`"
    return f"{path}: add `{finding.change}`"
