"""Evaluations as tables in the terminal and in Markdown, and as plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl_rlsp.evaluation._charts import Chart, save_plot, tokens_line
from trl_rlsp.evaluation._compare import Difference, Vote, equal_budget
from trl_rlsp.evaluation._metrics import Evaluation, default_ks
from trl_rlsp.evaluation._store import read_lines

if TYPE_CHECKING:
    from rich.table import Table

INTERVALS = "95 % bootstrap intervals over problems"
Rows = Sequence[Sequence[str]]  # cells of a table, the names of the columns first


def terminal_table(rows: Rows, **options: Any) -> Table:
    """A table of the terminal, its first column to the left and the others to the right."""
    from rich.table import Column, Table

    table = Table(rows[0][0], *(Column(name, justify="right") for name in rows[0][1:]), **options)
    for row in rows[1:]:
        table.add_row(*row)
    return table


def markdown_rows(rows: Rows, *, left: int = 1) -> str:
    """A table of Markdown, with so many columns to the left."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * left + "---:|" * (len(rows[0]) - left))
    return "\n".join(lines)


def table_rows(results: Mapping[str, Evaluation]) -> list[tuple[str, ...]]:
    """The columns' names, then one row a model; pass@k and maj@k for the largest k that every result has."""
    k = max(set.intersection(*({*r.pass_at} & {*r.maj_at} for r in results.values())), default=None)
    own = list(dict.fromkeys(name for result in results.values() for name in result.task_metrics))
    votes = () if k is None else (f"pass@{k}", f"maj@{k}")
    named = (name.replace("_", " ") for name in own)
    rows: list[tuple[str, ...]] = [("model", "accuracy (pass@1)", *votes, "completion tokens", *named, "finished")]
    for name, r in results.items():
        shared = () if k is None else (r.pass_at[k].percent(), r.maj_at[k].percent())
        measured = (r.task_metrics[metric].number() if metric in r.task_metrics else "" for metric in own)
        rows.append((name, r.pass_at_1.percent(), *shared, r.tokens.number(), *measured, r.finished.percent()))
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
    tables = []
    for name, slices in (("level", result.levels), ("subject", result.subjects)):
        rows = [(name, "problems", "accuracy (pass@1)", "completion tokens", "finished")]
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
            both = (vote, equal_budget(vote, curves[rival]))
            cells = [(str(v.k), f"{v.tokens.mean:.1f}", v.accuracy.percent()) if v else ("none", "", "") for v in both]
            rows.append((*cells[0], *cells[1]))
        tables.append(terminal_table(rows, caption=f"equal budget: the largest vote of {rival} for no more tokens"))
    return tables


def plot_efficiency(curves: Mapping[str, Sequence[Vote]], path: Path) -> None:
    """Draw the accuracy of votes against their tokens, a line a model, as PNG."""
    lines = [tokens_line(name, [(v.tokens, v.accuracy) for v in votes]) for name, votes in curves.items()]
    x_label = "completion tokens per problem (k completions)"
    save_plot(Chart("efficiency", "Accuracy of the majority", x_label, lines, percent=True, doubling=True), path)


def first_samples(folder: Path) -> dict[int, dict]:
    """The first sample of each problem of an evaluation."""
    samples: dict[int, dict] = {}
    for line in read_lines(folder):
        samples.setdefault(line["problem"], line)
    return samples


def exploration_columns(logged: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Name of each reward of a log beside the verifier's -> its key; a single exploration reward is "exploration"."""
    keys = [key for entry in logged for key in entry if key.startswith("rewards/") and key.endswith("/mean")]
    parts = {key.split("/")[1].removesuffix("_exploration"): key for key in keys if "outcome_verifier" not in key}
    explored = [key for key in parts.values() if key.endswith("_exploration/mean")]
    return {"exploration" if explored == [key] else name: key for name, key in parts.items()}
