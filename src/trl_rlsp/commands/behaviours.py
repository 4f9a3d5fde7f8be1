"""`rlsp behaviours`: what the completions of a run do, step by step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from trl_rlsp.errors import ConfigError
from trl_rlsp.files import atomic_write
from trl_rlsp.stages.parsing import parse_stage

if TYPE_CHECKING:
    from rich.table import Table

    from trl_rlsp.runs.behaviour_summary import Summary
    from trl_rlsp.runs.completion import Completion

CAPTION = "per 1,000 words (per completion); wording is evidence, not proof: compare with the base model"


def run_behaviours(arguments: Sequence[str]) -> None:
    """Print behaviours per step and overall, and write them as JSON where --output says.

    Args:
        arguments: run folders or completions files, and --output FILE.

    Raises:
        RLSPError: no completions, or a file that does not hold any.
    """
    from trl_rlsp.rewards.outcome import OutcomeVerifier
    from trl_rlsp.runs.behaviour_summary import shown_steps, summarize
    from trl_rlsp.runs.reading import VERIFIED, read_completions
    from trl_rlsp.text.terminal import Terminal

    given = parse(arguments)
    completions = read_completions(given.sources)
    if not completions:
        raise ConfigError(f"no completions in {', '.join(given.sources)}")
    with OutcomeVerifier(batch_seconds=3600) as verifier:

        def score(asked: list[Completion]) -> Sequence[float | None]:
            columns = {name: [c.columns.get(name) for c in asked] for name in VERIFIED}
            used = {name: column for name, column in columns.items() if any(v is not None for v in column)}
            verdicts = verifier.verdicts([c.text for c in asked], prompts=[c.prompt for c in asked], **used)
            return [verdict.score for verdict in verdicts]

        rows = {}
        for step in shown_steps([c.step for c in completions if c.step is not None]):
            rows[f"step {step}"] = summarize([c for c in completions if c.step == step], score)
        rows["all"] = summarize(completions, score)
    Terminal().print(table(rows))
    if given.output:
        metrics = {name: asdict(summary) for name, summary in rows.items()}
        atomic_write(given.output, json.dumps(metrics, indent=2) + "\n")


@dataclass
class BehavioursArguments:
    """Which completions to count, and where to write the counts."""

    sources: list[str] = field(
        metadata={"positional": "+", "metavar": "RUN", "help": "run folder, completions_*.parquet or samples.jsonl"}
    )
    output: Path | None = field(default=None, metadata={"help": "write the metrics to this JSON file"})


def parse(arguments: Sequence[str]) -> BehavioursArguments:
    """The command's arguments; prints its help and leaves for --help."""
    described = "What the completions of a run do, step by step."
    (given,) = parse_stage((BehavioursArguments,), arguments, "rlsp behaviours", description=described)
    return given  # type: ignore[no-any-return]


def table(rows: dict[str, Summary]) -> Table:
    """One row a step: completions, words, each behaviour, answer changes where they could be scored."""
    from rich.table import Table

    from trl_rlsp.behaviours import KINDS

    shown = Table(caption=CAPTION)
    for column in ("", "completions", "words", *(kind.replace("_", "-") for kind in KINDS)):
        shown.add_column(column, justify="right" if column else "left")
    with_changes = any(summary.changes is not None for summary in rows.values())
    if with_changes:
        shown.add_column("wrong>right / right>wrong", justify="right")
    for name, summary in rows.items():
        cells = [name, str(summary.completions), f"{summary.words:.0f}"]
        cells += [f"{summary.per_1000_words[kind]:.1f} ({summary.per_completion[kind]:.2f})" for kind in KINDS]
        if with_changes:
            changes = summary.changes
            cells.append("" if changes is None else f"{changes['wrong_to_right']} / {changes['right_to_wrong']}")
        shown.add_row(*cells)
    return shown
