"""Evaluations as tables in the terminal and in Markdown, as plots, and as the report of a pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl_rlsp.evaluation._charts import Chart, save_plot, tokens_line
from trl_rlsp.evaluation._compare import Difference, Vote, equal_budget
from trl_rlsp.evaluation._metrics import Evaluation, default_ks
from trl_rlsp.evaluation._store import load_evaluation, read_lines
from trl_rlsp.files import atomic_write, read_json

if TYPE_CHECKING:
    from rich.table import Table

INTERVALS = "95 % bootstrap intervals over problems"
Rows = Sequence[Sequence[str]]
"""Cells of a table, the names of the columns first."""


def terminal_table(rows: Rows, **options: Any) -> Table:
    """A table of the terminal, its first column to the left and the others to the right."""
    from rich.table import Table

    table = Table(**options)
    for number, column in enumerate(rows[0]):
        table.add_column(column, justify="right" if number else "left")
    for row in rows[1:]:
        table.add_row(*row)
    return table


def markdown_rows(rows: Rows, *, left: int = 1) -> str:
    """A table of Markdown, with so many columns to the left."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * left + "---:|" * (len(rows[0]) - left))
    return "\n".join(lines)


def table_rows(results: Mapping[str, Evaluation]) -> list[tuple[str, ...]]:
    """The columns' names, then one row a model.

    pass@k and maj@k are there for the largest k that every result has, metrics of a task where a result has them.
    """
    k = max(set.intersection(*({*r.pass_at} & {*r.maj_at} for r in results.values())), default=None)
    own = list(dict.fromkeys(name for result in results.values() for name in result.task_metrics))
    votes = () if k is None else (f"pass@{k}", f"maj@{k}")
    named = (name.replace("_", " ") for name in own)
    rows: list[tuple[str, ...]] = [("model", "accuracy (pass@1)", *votes, "completion tokens", *named, "finished")]
    for name, result in results.items():
        shared = () if k is None else (result.pass_at[k].percent(), result.maj_at[k].percent())
        measured = (result.task_metrics[metric].number() if metric in result.task_metrics else "" for metric in own)
        tokens, finished = result.tokens.number(), result.finished.percent()
        rows.append((name, result.pass_at_1.percent(), *shared, tokens, *measured, finished))
    return rows


def note(results: Mapping[str, Evaluation]) -> str:
    """What the intervals are of, and how many completions were not scorable."""
    first, *_ = results.values()
    skipped = sum(result.not_scorable for result in results.values())
    parts = [f"{first.problems} problems x {first.samples} completions", INTERVALS]
    parts += [f"{skipped} completions not scorable"] if skipped else []
    parts += [f"{name}: {f} without {c} problems" for name, r in results.items() for f, c in r.left_out.items()]
    return "; ".join(parts)


def evaluation_table(results: Mapping[str, Evaluation]) -> Table:
    """The metrics of each model, for the terminal."""
    return terminal_table(table_rows(results), caption=note(results))


def markdown_table(results: Mapping[str, Evaluation]) -> str:
    """The same table in Markdown."""
    return f"{markdown_rows(table_rows(results))}\n\n{note(results)}.\n"


def slice_tables(result: Evaluation) -> list[Table]:
    """A table of the levels and one of the subjects, where the problems have several."""
    columns = ("problems", "accuracy (pass@1)", "completion tokens", "finished")
    named = (("level", result.levels), ("subject", result.subjects))
    tables = []
    for name, slices in named:
        rows: list[tuple[str, ...]] = [(name, *columns)]
        for label, part in slices.items():
            accuracy = "not scorable" if part.pass_at_1 is None else part.pass_at_1.percent()
            rows.append((label, str(part.problems), accuracy, part.tokens.number(), part.finished.percent()))
        if len(slices) > 1:
            tables.append(terminal_table(rows))
    return tables


def difference_table(first: str, second: str, found: Mapping[str, Difference]) -> Table:
    """The table of a paired comparison; an asterisk marks differences whose interval leaves out 0."""
    problems = max(difference.problems for difference in found.values())
    rows: list[tuple[str, ...]] = [("", first, second, "difference", "left out")]
    for name, entry in found.items():
        shown = [e.number() if name == "tokens" else e.percent() for e in (entry.first, entry.second, entry.difference)]
        rows.append((name, *shown[:2], shown[2] + (" *" if entry.clear else ""), str(entry.left_out or "")))
    caption = f"{problems} problems, paired; {INTERVALS}; differences of shares in points; * the interval leaves out 0"
    return terminal_table(rows, caption=caption)


def efficiency_tables(curves: Mapping[str, Sequence[Vote]]) -> list[Table]:
    """Votes and tokens of every model, for k in powers of two and the largest; then each at the budgets of the last."""
    shown = {name: [v for v in votes if v.k in {1, *default_ks(votes[-1].k)}] for name, votes in curves.items()}
    rows: list[tuple[str, ...]] = [("model", "k", "tokens a problem", "accuracy (maj@k)", "left out")]
    for name, votes in shown.items():
        rows += [(name, str(v.k), v.tokens.number(), v.accuracy.percent(), str(v.left_out or "")) for v in votes]
    tables = [terminal_table(rows, caption=INTERVALS)]
    *rivals, last = curves
    for rival in rivals:
        rows = [(f"{last}: k", "tokens", "accuracy", f"{rival}: k", "tokens", "accuracy")]
        for vote in shown[last]:
            other = equal_budget(vote, curves[rival])
            rows.append((*_vote_cells(vote), *(_vote_cells(other) if other else ("none", "", ""))))
        caption = f"equal budget: the largest vote of {rival} that costs no more tokens"
        tables.append(terminal_table(rows, caption=caption))
    return tables


def _vote_cells(vote: Vote) -> tuple[str, str, str]:
    return str(vote.k), f"{vote.tokens.mean:.1f}", vote.accuracy.percent()


def plot_efficiency(curves: Mapping[str, Sequence[Vote]], path: Path) -> None:
    """Draw the accuracy of votes against their tokens, a line a model, as PNG."""
    lines = [
        tokens_line(name, [v.tokens for v in votes], [v.accuracy for v in votes]) for name, votes in curves.items()
    ]
    x_label = "completion tokens per problem (k completions)"
    chart = Chart("efficiency", "Accuracy of the majority", x_label, lines, percent=True, doubling=True)
    save_plot(chart, path)


def example(folders: Mapping[str, Path], limit: int = 1200) -> str:
    """One problem solved by the last model and not by the first, as each answered it, in Markdown; empty for none."""
    samples = {name: first_samples(folder) for name, folder in folders.items()}
    ordered = list(samples.values())
    first, last = ordered[0], ordered[-1]
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
    for line in read_lines(folder):
        samples.setdefault(line["problem"], line)
    return samples


def training_curve(trainer_state: Path) -> str:
    """Accuracy, exploration, length and cut completions over the steps of a `trainer_state.json`, in Markdown."""
    logged = [entry for entry in read_json(trainer_state)["log_history"] if "completions/mean_length" in entry]
    if not logged:
        return ""
    columns = {"step": "step", "accuracy": "rewards/outcome_verifier/mean", **exploration_columns(logged)}
    columns |= {"tokens": "completions/mean_length", "cut off": "completions/clipped_ratio"}
    every = max(1, len(logged) // 20)
    shown = logged[::every] if (len(logged) - 1) % every == 0 else [*logged[::every], logged[-1]]
    values = ([entry.get(key) for key in columns.values()] for entry in shown)
    cells = (["" if v is None else str(v) if isinstance(v, int) else f"{v:.3g}" for v in row] for row in values)
    return "\n".join(
        ["## RL, as trained (mean of each logged step)", "", markdown_rows([[*columns], *cells], left=0), ""]
    )


def exploration_columns(logged: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Name of each reward of a log beside the verifier's -> its key; a single exploration reward is "exploration"."""
    keys = [key for entry in logged for key in entry if key.startswith("rewards/") and key.endswith("/mean")]
    parts = {key.split("/")[1].removesuffix("_exploration"): key for key in keys if "outcome_verifier" not in key}
    explored = [key for key in parts.values() if key.endswith("_exploration/mean")]
    return {"exploration" if explored == [key] else name: key for name, key in parts.items()}


def write_report(folder: Path, name: str, evaluations: Mapping[str, Path], trainer_state: Path) -> Path:
    """Write `report.md`: the table, one problem as each model answered it, and the course of training.

    Args:
        folder: where to write.
        name: the recipe.
        evaluations: model name -> folder of its evaluation, in order of training.
        trainer_state: the `trainer_state.json` of the RL stage.
    """
    results = {model: load_evaluation(path) for model, path in evaluations.items()}
    parts = [f"# {name}", "", markdown_table(results), example(evaluations), training_curve(trainer_state)]
    path = folder / "report.md"
    atomic_write(path, "\n".join(parts))
    return path
