"""Evaluations as tables in the terminal and in Markdown, and the report of a pipeline."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl_rlsp.evaluation.metrics import Evaluation, Slice
from trl_rlsp.evaluation.store import load_evaluation
from trl_rlsp.files import atomic_write, read_json

if TYPE_CHECKING:
    from rich.table import Table


def table_rows(results: Mapping[str, Evaluation]) -> list[tuple[str, ...]]:
    """The columns' names, then one row of text a model, with 95 % intervals.

    pass@k and maj@k are there for the largest k that every result has, metrics of a task where a result has them.
    """
    k = shared_k(results)
    votes = () if k is None else (f"pass@{k}", f"maj@{k}")
    own = list(dict.fromkeys(name for result in results.values() for name in result.task_metrics))
    columns = (
        "model",
        "accuracy (pass@1)",
        *votes,
        "completion tokens",
        *(n.replace("_", " ") for n in own),
        "finished",
    )
    rows = [columns]
    for name, result in results.items():
        measured = [result.task_metrics.get(metric) for metric in own]
        rows.append(
            (
                name,
                result.pass_at_1.percent(),
                *(() if k is None else (result.pass_at[k].percent(), result.maj_at[k].percent())),
                result.tokens.number(),
                *("" if estimate is None else estimate.number() for estimate in measured),
                result.finished.percent(),
            )
        )
    return rows


def shared_k(results: Mapping[str, Evaluation]) -> int | None:
    """The largest k for which every result has pass@k and maj@k, `None` where there is none."""
    shared = set.intersection(*({*result.pass_at} & {*result.maj_at} for result in results.values()))
    return max(shared, default=None)


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
    return _terminal(table_rows(results), caption=note(results))


def slice_tables(result: Evaluation) -> list[Table]:
    """A table of the levels and one of the subjects, where the problems have several."""
    columns = ("problems", "accuracy (pass@1)", "completion tokens", "finished")
    named = (("level", result.levels), ("subject", result.subjects))
    return [
        _terminal([(name, *columns), *((label, *_slice_cells(part)) for label, part in slices.items())])
        for name, slices in named
        if len(slices) > 1
    ]


def _slice_cells(part: Slice) -> tuple[str, ...]:
    accuracy = "not scorable" if part.pass_at_1 is None else part.pass_at_1.percent()
    return (str(part.problems), accuracy, part.tokens.number(), part.finished.percent())


def _terminal(rows: list[tuple[str, ...]], **options: Any) -> Table:
    from rich.table import Table

    table = Table(**options)
    for number, column in enumerate(rows[0]):
        table.add_column(column, justify="right" if number else "left")
    for row in rows[1:]:
        table.add_row(*row)
    return table


def markdown_table(results: Mapping[str, Evaluation]) -> str:
    """The same table in Markdown."""
    columns, *rows = table_rows(results)
    return "\n".join([*_markdown(columns, rows), "", f"{note(results)}.", ""])


def _markdown(columns: tuple[str, ...], rows: list[tuple[str, ...]], first: str = "---") -> list[str]:
    lines = ["| " + " | ".join(columns) + " |", f"|{first}" + "|---:" * (len(columns) - 1) + "|"]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows)]


def example(folders: Mapping[str, Path], limit: int = 1200) -> str:
    """One problem solved by the last model and not by the first, as each model answered it, in Markdown.

    Args:
        folders: model name -> folder of its evaluation, in order of training.
        limit: longest completion shown, in characters.

    Returns:
        Empty text if there is no such problem.
    """
    samples = {name: first_samples(folder) for name, folder in folders.items()}
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


def first_samples(folder: Path) -> dict[int, dict]:
    """The first sample of each problem of an evaluation."""
    samples: dict[int, dict] = {}
    with open(folder / "samples.jsonl", encoding="utf-8") as file:
        for line in file:
            sample = json.loads(line)
            samples.setdefault(sample["problem"], sample)
    return samples


def training_curve(trainer_state: Path) -> str:
    """Accuracy, exploration, length and cut completions over the steps of the RL stage, in Markdown.

    Args:
        trainer_state: the `trainer_state.json` of the stage.
    """
    history = read_json(trainer_state)["log_history"]
    logged = [entry for entry in history if "completions/mean_length" in entry]
    if not logged:
        return ""
    columns = {"step": "step", "accuracy": "rewards/outcome_verifier/mean"}
    columns |= exploration_columns(logged)
    columns |= {"tokens": "completions/mean_length", "cut off": "completions/clipped_ratio"}
    every = max(1, len(logged) // 20)
    shown = logged[::every] if (len(logged) - 1) % every == 0 else [*logged[::every], logged[-1]]
    rows = [tuple(_cell(entry.get(key)) for key in columns.values()) for entry in shown]
    return "\n".join(["## RL, as trained (mean of each logged step)", "", *_markdown(tuple(columns), rows, "---:"), ""])


def exploration_columns(logged: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Name of each reward of a log beside the verifier's -> its key; a single exploration reward is "exploration"."""
    keys = dict.fromkeys(
        key for entry in logged for key in entry if key.startswith("rewards/") and key.endswith("/mean")
    )
    parts = {key.split("/")[1].removesuffix("_exploration"): key for key in keys if "outcome_verifier" not in key}
    explored = [key for key in parts.values() if key.endswith("_exploration/mean")]
    return {"exploration" if explored == [key] else name: key for name, key in parts.items()}


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
    results = {model: load_evaluation(path) for model, path in evaluations.items()}
    parts = [f"# {name}", "", markdown_table(results), example(evaluations), training_curve(trainer_state)]
    path = folder / "report.md"
    atomic_write(path, "\n".join(parts))
    return path
