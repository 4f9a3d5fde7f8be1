"""`docs/results.md`, written from the results files alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from countdown.grid import Grid, load_grid
from countdown.plots import PLOTS, plot_file
from countdown.runner import mean
from countdown.summary import METRICS
from countdown.tuning import mean_by_rate

if TYPE_CHECKING:
    from countdown.intervals import Interval

HEAD = """# Results

Written by `experiments/countdown/run.py` from the results files; not edited by hand. Every interval is a 95 %
bootstrap interval over seeds and problems: each of 2,000 resamples draws seeds and, independently, problems, each
with replacement. Differences between arms are taken on the same draw of problems. The starting model is the same in
all runs, so its own training is not part of the intervals; with few seeds, intervals are somewhat too narrow, and with
one seed they are over problems alone.
"""
SHARES = {"pass_at_1", "pass_at_8", "maj_at_8", "finished"}
TITLES = {
    "pass_at_1": "pass@1",
    "pass_at_8": "pass@8",
    "maj_at_8": "maj@8",
    "mean_tokens": "tokens",
    "search_steps": "search steps",
    "finished": "finished",
}


def write_report(grid: Grid) -> None:
    """Rewrite the report that the grid names, with all its sections; a grid without results is `not run`."""
    target = grid.report_file
    target.parent.mkdir(parents=True, exist_ok=True)
    parts = [HEAD]
    for name in grid.report["sections"]:
        parts += section(load_grid(grid.path.parent / name), target.parent)
    target.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")


def section(grid: Grid, folder: Path) -> list[str]:
    """Lines of one experiment.

    Args:
        grid: the experiment.
        folder: folder of the report, from which links start.
    """
    title = f"## {grid.name}\n\n{grid.note.strip()}\n"
    if not grid.results_file.is_file():
        return [title, f"Not run: {', '.join(grid.arms)}; {len(grid.seeds)} seeds ({command(grid)}).\n"]
    found = json.loads(grid.results_file.read_text(encoding="utf-8"))
    return [
        title,
        *_what(grid, found),
        *_table(grid, found),
        *_missing(grid, found),
        *_seeds(found),
        *_comparison(found),
        *_bar(found),
        *_pass_at_k(found),
        *_by_difficulty(grid, found),
        *_plots(grid, found, folder),
        *_rates(grid, found),
    ]


def command(grid: Grid) -> str:
    """The command that runs the grid, as code."""
    from countdown.summary import relative

    return f"`python experiments/countdown/run.py --config {relative(grid.path)}`"


def shown(interval: Interval | None, *, share: bool, signed: bool = False) -> str:
    """An interval as it stands in a table; shares in per cent, with a second decimal below 0.1.

    >>> shown([0.5, 0.45, 0.55], share=True)
    '50.0 [45.0, 55.0]'
    >>> shown([0.0004, 0, 0.0008], share=True)
    '0.04 [0.00, 0.08]'
    """
    if interval is None:
        return "not defined"
    factor, sign = (100 if share else 1), ("+" if signed else "")
    mean, low, high = (factor * value for value in interval)
    form = f"{sign}.{2 if share and 0 < abs(mean) < 0.1 else 1}f"
    return f"{mean:{form}} [{low:{form}}, {high:{form}}]"


def table(columns: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table, the first column to the left."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return ["| " + " | ".join(line) + " |" for line in lines] + [""]


def _what(grid: Grid, found: dict[str, Any]) -> list[str]:
    given, made = found["settings"], found["made_on"]
    versions = ", ".join(f"{name} {made[name]}" for name in made if name not in ("processor", "cores"))
    summary = found["summary"]
    problems = next((own["problems"] for own in summary.values()), 0)
    return [
        f"Run with {command(grid)} on {made['processor']}, {made['cores']} cores; {versions}.",
        f"{problems} test problems that occur neither in RL nor in SFT, {given['sampling']['n']} samples each at "
        f"temperature {given['sampling']['temperature']}; {given['budget']:,} sampled tokens of training a run (the "
        "step that crosses the budget is finished), learning rate falling linearly with them. Shares in per cent; "
        "`maj@8` votes on final answers that the domain calls equal (`canonical`).\n",
    ]


def _table(grid: Grid, found: dict[str, Any]) -> list[str]:
    rows = []
    for arm in grid.arms:
        own = found["summary"].get(arm)
        if own is None:
            rows.append([arm, "not run", *[""] * len(METRICS)])
        else:
            rows.append([arm, str(own["seeds"]), *(shown(own[m], share=m in SHARES) for m in METRICS)])
    return table(["arm", "seeds", *TITLES.values()], rows)


def _missing(grid: Grid, found: dict[str, Any]) -> list[str]:
    done = {(run["arm"], run["seed"]) for run in found["runs"]}
    failed = {(run["arm"], run["seed"]): run["reason"] for run in found["failed"]}
    planned = [(arm, seed) for arm in grid.arms for seed in grid.seeds]
    absent = [pair for pair in planned if pair not in done and pair not in failed]
    lines = [f"{len(done)} of {len(planned)} runs are complete, {len(failed)} failed, {len(absent)} were not run."]
    lines += [f"- failed: {arm}, seed {seed}: `{reason}`" for (arm, seed), reason in failed.items()]
    for arm in grid.arms:
        seeds = [str(seed) for name, seed in absent if name == arm]
        lines += [f"- not run: {arm}, seed {', '.join(seeds)}"] if seeds else []
    unscored = sum(run["not_scorable"] for run in found["runs"])
    return [*lines, *([f"- {unscored} completions were not scorable and are left out"] if unscored else []), ""]


def _seeds(found: dict[str, Any]) -> list[str]:
    """Every seed's accuracy: a mean of seeds that learned and seeds that did not would hide both."""
    rows = []
    for arm in found["summary"]:
        runs = sorted((run for run in found["runs"] if run["arm"] == arm), key=lambda run: run["seed"])
        known = [run["pass_at_1"] for run in runs]
        rows.append([arm, ", ".join("not scorable" if value is None else f"{100 * value:.1f}" for value in known)])
    return ["Seed by seed, in order:\n", *table(["arm", "pass@1"], rows)] if rows else []


def _comparison(found: dict[str, Any]) -> list[str]:
    rows = []
    for arm, own in found["summary"].items():
        gain, votes = found["minus_verifier_only"].get(arm), found["minus_sft_majority"].get(arm)
        effort = own["effort_rank_correlation"]
        rows.append(
            [
                arm,
                shown(gain, share=True, signed=True) if gain else "",
                shown(votes["difference"], share=True, signed=True) if votes else "",
                str(votes["k"]) if votes else "",
                "{:.2f} [{:.2f}, {:.2f}]".format(*effort) if effort else "not defined",
            ]
        )
    lines = [
        "Points of pass@1 against RL on the outcome alone, and against majority voting of the SFT model with k votes,",
        "the smallest k that costs at least as many tokens; Spearman's correlation of difficulty with search steps.\n",
        *table(["arm", "minus verifier_only", "minus SFT maj@k", "k", "effort against difficulty"], rows),
    ]
    curve = ", ".join(f"{k}: {shown(value, share=True)}" for k, value in found["sft_majority"].items())
    return [*lines, *([f"SFT maj@k by k: {curve}.\n"] if curve else [])]


def _bar(found: dict[str, Any]) -> list[str]:
    bar = found["bar"]
    if bar is None:
        return ["The bar cannot be computed yet: it needs sft, verifier_only and an exploration arm with its seeds.\n"]

    def word(part: str) -> str:
        return "met" if bar[part]["met"] else "not met"

    gain, votes = bar["beats_verifier_only"], bar["beats_sft_majority"]
    effort = bar["effort_rises_with_difficulty"]["rank_correlation"]
    apart = "apart" if gain["intervals_apart"] else "not apart"
    return [
        f"**The bar: {'met' if bar['met'] else 'not met'}** by {bar['best']}, the best exploration arm by pass@1 on",
        "the test problems (a choice that favors it a little), among those with as many seeds as verifier_only.\n",
        f"- at least 5 points over verifier_only, intervals apart: {word('beats_verifier_only')} "
        f"({shown(gain['difference'], share=True, signed=True)}, intervals {apart})",
        f"- over majority voting of the SFT model at an equal token budget (k = {votes['k']}): "
        f"{word('beats_sft_majority')} ({shown(votes['difference'], share=True, signed=True)})",
        f"- effort rises with difficulty: {word('effort_rises_with_difficulty')} "
        f"({'{:.2f} [{:.2f}, {:.2f}]'.format(*effort) if effort else 'not defined'})\n",
    ]


def _pass_at_k(found: dict[str, Any]) -> list[str]:
    """pass@k to 256, and what the arms solve of the problems that the starting model never solved."""
    curves, newly = found.get("pass_at_k"), found.get("newly_solved")
    if not curves:
        return []
    ks = list(next(iter(curves.values()))["pass_at"])
    rows = [
        [arm, str(len(own["seeds"])), *(shown(own["pass_at"].get(k), share=True) for k in ks)]
        for arm, own in curves.items()
    ]
    problems = next(iter(curves.values()))["problems"]
    lines = [f"pass@k on the first {problems} test problems, intervals over seeds and problems:\n"]
    lines += table(["arm", "seeds", *(f"k = {k}" for k in ks)], rows)
    if not newly or not newly["arms"]:
        return lines
    rows = [
        [arm, *(shown(own[name], share=True) for name in ("pass_at_1", "pass_at_8")), f"{100 * own['solved_once']:.0f}"]
        for arm, own in newly["arms"].items()
    ]
    return [
        *lines,
        f"Newly solved: of the {newly['problems']} of {newly['of']} problems that the starting model solved in none of "
        f"{ks[-1]} samples (a solve rate of at most {100 * newly['upper_bound']:.1f} %, one-sided 95 %):\n",
        *table(["arm", "pass@1", "pass@8", f"solved once in {ks[-1]}"], rows),
    ]


def _by_difficulty(grid: Grid, found: dict[str, Any]) -> list[str]:
    bands = list(next(iter(found["summary"].values()))["by_difficulty"]) if found["summary"] else []
    if not bands:
        return []
    rows = []
    for arm, own in found["summary"].items():
        cells = [own["by_difficulty"].get(band) for band in bands]
        accuracy = [shown(cell["pass_at_1"], share=True) if cell else "" for cell in cells]
        effort = [shown(cell["search_steps"], share=False) if cell else "" for cell in cells]
        rows.append([arm, *accuracy, *effort])
    ends = ", ".join(f"{name} below {end}" for name, end in found["settings"]["bands"].items() if end is not None)
    titles = [f"pass@1 {band}" for band in bands] + [f"steps {band}" for band in bands]
    return [f"By difficulty, {grid.module().DIFFICULTY} ({ends}):\n", *table(["arm", *titles], rows)]


def _plots(grid: Grid, found: dict[str, Any], folder: Path) -> list[str]:
    files = [plot_file(grid, name) for name in PLOTS] if found["summary"] else []
    return [
        f"![{grid.name}: {path.stem}]({Path(os.path.relpath(path, folder)).as_posix()})\n"
        for path in files
        if path.is_file()
    ]


def _rates(grid: Grid, found: dict[str, Any]) -> list[str]:
    used = found["settings"]["learning_rates"]
    untuned = [arm for arm, rate in used.items() if not rate["tuned"]]
    lines = []
    if untuned:
        lines.append(
            f"Learning rate not tuned, the default {grid.learning_rates['default']:g}: {', '.join(untuned)}.\n"
        )
    if not grid.rates_file.is_file():
        return lines
    given = grid.learning_rates
    if "tuned_for" in given:
        chosen = ", ".join(f"{arm} {rate['rate']:g}" for arm, rate in used.items() if rate["tuned"])
        return [
            *lines,
            f"Learning rates as chosen for {load_grid(grid.path.parent / given['tuned_for']).name}: {chosen}.\n",
        ]
    tried = json.loads(grid.rates_file.read_text(encoding="utf-8"))
    lines.append(
        f"Learning rates, chosen for every arm alike by pass@1 on {grid.problems['validation']} validation problems, "
        f"mean over seeds {', '.join(map(str, given['seeds']))} (not reported), {given['share_of_budget']:.0%} of the "
        "budget. A cell is pass@1 (each seed's); completion tokens, share finished.\n"
    )
    rows = [
        [
            arm,
            *(rate_cell(entry["tried"], rate) for rate in given["tried"]),
            f"{entry['chosen']:g}" if entry["chosen"] else "",
        ]
        for arm, entry in tried.items()
    ]
    return [*lines, *table(["arm", *(f"{rate:g}" for rate in given["tried"]), "chosen"], rows)]


def rate_cell(entries: list[dict[str, Any]], rate: float) -> str:
    """What a rate gave: mean pass@1, each seed's, and the mean length and share finished of those that did not fail."""
    own = [entry for entry in entries if entry["rate"] == rate]
    if not own:
        return "not run"
    accuracy = mean_by_rate(own)[rate]
    each = ", ".join("failed" if run["pass_at_1"] is None else f"{100 * run['pass_at_1']:.1f}" for run in own)
    shown = f"{'failed' if accuracy is None else f'{100 * accuracy:.1f}'} ({each})"
    tokens, finished = (mean([run.get(name) for run in own]) for name in ("mean_tokens", "finished"))
    return shown if tokens is None or finished is None else f"{shown}; {tokens:.0f}, {100 * finished:.0f} %"
