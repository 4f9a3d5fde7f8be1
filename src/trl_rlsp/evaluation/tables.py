"""The before/after table, in the terminal and as `report.md`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from trl_rlsp.evaluation.evaluate import Evaluation

COLUMNS = ("model", "accuracy (pass@1)", "completion tokens", "search steps", "finished")


def columns_of(results: Mapping[str, Evaluation]) -> tuple[str, ...]:
    """The columns of the table; pass@k and maj@k are there for the largest k that every result has."""
    k = shared_k(results)
    return COLUMNS if k is None else (*COLUMNS[:2], f"pass@{k}", f"maj@{k}", *COLUMNS[2:])


def shared_k(results: Mapping[str, Evaluation]) -> int | None:
    """The largest k for which every result has pass@k and maj@k, `None` where there is none."""
    shared = set.intersection(*({*result.pass_at} & {*result.maj_at} for result in results.values()))
    return max(shared, default=None)


def table_rows(results: Mapping[str, Evaluation]) -> list[tuple[str, ...]]:
    """One row of text a model, cells as in `columns_of`, with 95 % intervals."""
    k = shared_k(results)
    return [
        (
            name,
            result.pass_at_1.percent(),
            *([] if k is None else [result.pass_at[k].percent(), result.maj_at[k].percent()]),
            result.tokens.number(),
            result.search_steps.number(),
            result.finished.percent(),
        )
        for name, result in results.items()
    ]


def note(results: Mapping[str, Evaluation]) -> str:
    """What the intervals are of, and how many completions were not scorable."""
    first = next(iter(results.values()))
    skipped = sum(result.not_scorable for result in results.values())
    text = f"{first.problems} problems x {first.samples} completions; 95 % bootstrap intervals over problems"
    if skipped:
        text = f"{text}; {skipped} completions not scorable"
    left_out = [f"{name}: {f} without {c} problems" for name, r in results.items() for f, c in r.left_out.items()]
    return "; ".join([text, *left_out])


def evaluation_table(results: Mapping[str, Evaluation]) -> Table:
    """The table for the terminal."""
    from rich.table import Table

    table = Table(title=None, caption=note(results))
    for column in columns_of(results):
        table.add_column(column, justify="left" if column == "model" else "right")
    for row in table_rows(results):
        table.add_row(*row)
    return table


def slice_tables(result: Evaluation) -> list[Table]:
    """A table of the levels and one of the subjects, where the problems have several."""
    from rich.table import Table

    tables = []
    for name, slices in (("level", result.levels), ("subject", result.subjects)):
        table = Table()
        for column in (name, "problems", "accuracy (pass@1)", "completion tokens", "finished"):
            table.add_column(column, justify="left" if column == name else "right")
        for label, part in slices.items():
            accuracy = "not scorable" if part.pass_at_1 is None else part.pass_at_1.percent()
            table.add_row(label, str(part.problems), accuracy, part.tokens.number(), part.finished.percent())
        if len(slices) > 1:
            tables.append(table)
    return tables


def markdown_table(results: Mapping[str, Evaluation]) -> str:
    """The same table in Markdown."""
    columns = columns_of(results)
    lines = ["| " + " | ".join(columns) + " |", "|---" + "|---:" * (len(columns) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in table_rows(results)]
    return "\n".join(lines) + f"\n\n{note(results)}.\n"


def example(folders: Mapping[str, Path], limit: int = 1200) -> str:
    """One problem solved by the last model and not by the first, as each model answered it, in Markdown.

    Args:
        folders: model name -> folder of its evaluation, in order of training.
        limit: longest completion shown, in characters.

    Returns:
        Empty text if there is no such problem.
    """
    samples = {name: read_samples(folder) for name, folder in folders.items()}
    first, last = (next(iter(samples.values())), list(samples.values())[-1])
    problem = next((p for p, s in last.items() if s["score"] == 1.0 and first[p]["score"] == 0.0), None)
    if problem is None:
        return ""
    lines = [f"## Problem {problem}, answered by each model", ""]
    for name, found in samples.items():
        sample = found[problem]
        text = sample["text"] if len(sample["text"]) <= limit else sample["text"][:limit] + " ..."
        lines += [f"**{name}** ({sample['reason']}, {sample['tokens']} tokens)", "", *fenced(text), ""]
    return "\n".join(lines)


def fenced(text: str) -> list[str]:
    """`text` as a Markdown code block that its own backticks cannot close."""
    fence = "```"
    while fence in text:
        fence += "`"
    return [fence + "text", text, fence]


def read_samples(folder: Path) -> dict[int, dict]:
    """The first sample of each problem of an evaluation."""
    samples: dict[int, dict] = {}
    with open(folder / "samples.jsonl", encoding="utf-8") as file:
        for line in file:
            sample = json.loads(line)
            samples.setdefault(sample["problem"], sample)
    return samples


def training_curve(trainer_state: Path) -> str:
    """Accuracy, length and reward over the steps of the RL stage, in Markdown.

    Args:
        trainer_state: the `trainer_state.json` of the stage.
    """
    history = json.loads(trainer_state.read_text(encoding="utf-8"))["log_history"]
    columns = {
        "step": "step",
        "accuracy": "rewards/outcome_verifier/mean",
        "exploration": "rewards/length_exploration/mean",
        "tokens": "completions/mean_length",
        "cut off": "completions/clipped_ratio",
    }
    logged = [entry for entry in history if columns["tokens"] in entry]
    if not logged:
        return ""
    every = max(1, len(logged) // 20)
    shown = logged[::every] if (len(logged) - 1) % every == 0 else [*logged[::every], logged[-1]]
    lines = ["## RL, as trained (mean of each logged step)", "", "| " + " | ".join(columns) + " |"]
    lines.append("|" + "---:|" * len(columns))
    lines += ["| " + " | ".join(_cell(entry.get(key)) for key in columns.values()) + " |" for entry in shown]
    return "\n".join(lines) + "\n"


def _cell(value: float | int | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.3g}"


def write_report(folder: Path, name: str, evaluations: Mapping[str, Path], trainer_state: Path) -> Path:
    """Write `report.md`: the table, one problem as each model answered it, and the course of training.

    Args:
        folder: where to write.
        name: the recipe.
        evaluations: model name -> folder of its evaluation, in order of training.
        trainer_state: the `trainer_state.json` of the RL stage.

    Returns:
        The file.
    """
    from trl_rlsp.evaluation.evaluate import load_evaluation

    results = {model: load_evaluation(path) for model, path in evaluations.items()}
    parts = [f"# {name}", "", markdown_table(results), example(evaluations), training_curve(trainer_state)]
    path = folder / "report.md"
    path.write_text("\n".join(parts), encoding="utf-8")
    return path
