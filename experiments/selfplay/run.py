"""Do two rounds of self-play beat one at equal RL updates? The quickstart, 2 x 30 updates against 1 x 60, three seeds.

python experiments/selfplay/run.py                  # what is missing of the runs, then the results
python experiments/selfplay/run.py --arms one,two,two-last --seeds 0
python experiments/selfplay/run.py --summarize      # results of the finished runs only

Each run is one `rlsp run`, which skips complete stages and resumes those that were cut off: after a kill, give the same
command again. Writes `results.json` beside this file, and the table in `docs/selfplay.md`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from trl_rlsp.evaluation import first_samples

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [path for path in (str(HERE.parent),) if path not in sys.path]

RECIPE = Path("recipes/quickstart")
ARMS: dict[str, tuple[str, ...]] = {
    "one": ("--grpo.max_steps", "60"),
    "two": ("--rounds", "2", "--grpo.max_steps", "30"),
    "two-last": ("--rounds", "2", "--grpo.max_steps", "30", "--rounds.start", "last"),
}
"""Arm -> arguments of `rlsp run`; in every arm RL has 60 updates."""

FINAL = {"one": "eval_RLSP", "two": "round-2/eval_RLSP", "two-last": "round-2/eval_RLSP"}
TITLES = {
    "one": "1 round x 60 updates",
    "two": "2 rounds x 30, each from the base",
    "two-last": "2 rounds x 30, the second from the first",
}
START, END = "<!-- results: experiments/selfplay/run.py -->", "<!-- end of results -->"


def command(arm: str, seed: int, output: Path) -> list[str]:
    """The command of one run."""
    place = ["--output_dir", str(output / f"{arm}-seed{seed}"), "--seed", str(seed)]
    return [sys.executable, "-m", "trl_rlsp", "run", str(RECIPE), *place, *ARMS[arm]]


def finished(arm: str, output: Path, seeds: list[int]) -> list[int]:
    """The seeds whose last evaluation is complete."""
    return [seed for seed in seeds if (output / f"{arm}-seed{seed}" / FINAL[arm] / "metrics.json").is_file()]


def values(arm: str, field: str, output: Path, seeds: list[int]) -> list[list[float | None]]:
    """One row a seed, one value a problem, in order of the problems; a verdict of `None` stays `None`."""
    rows = [first_samples(output / f"{arm}-seed{seed}" / FINAL[arm]) for seed in seeds]
    return [[None if row[n][field] is None else float(row[n][field]) for n in sorted(row)] for row in rows]


def summarize(output: Path, arms: list[str], seeds: list[int]) -> dict[str, Any]:
    """Accuracy and tokens of each arm, and the paired difference from `one`, with 95 % intervals.

    Intervals are bootstraps over seeds and problems; differences are taken on the same problems and, where both arms
    have it, for each seed by itself too.
    """
    from countdown.intervals import difference, interval, matrix

    results: dict[str, Any] = {}
    for arm in arms:
        done = finished(arm, output, seeds)
        if not done:
            continue
        scores = matrix(values(arm, "score", output, done))
        results[arm] = {
            "seeds": done,
            "accuracy": interval(scores),
            "tokens": interval(matrix(values(arm, "tokens", output, done))),
            "rounds": rounds_of(arm, output, done),
        }
        common = [seed for seed in done if seed in results.get("one", {}).get("seeds", [])]
        if arm != "one" and common:
            theirs = matrix(values("one", "score", output, common))
            ours = matrix(values(arm, "score", output, common))
            results[arm]["minus_one"] = difference(ours, theirs)
            each = [difference(ours[i : i + 1], theirs[i : i + 1]) for i in range(len(common))]
            results[arm]["minus_one_by_seed"] = dict(zip(map(str, common), each, strict=True))
    return results


def rounds_of(arm: str, output: Path, seeds: list[int]) -> dict[str, Any]:
    """What was harvested between the rounds, for each seed."""
    name = "round-2/harvest/demonstrations.json"
    paths = {seed: output / f"{arm}-seed{seed}" / name for seed in seeds}
    return {str(s): json.loads(path.read_text(encoding="utf-8")) for s, path in paths.items() if path.is_file()}


def table(results: dict[str, Any]) -> str:
    """The results in Markdown."""
    lines = ["| RL | seeds | accuracy (pass@1) | completion tokens | minus 1 round |", "|---|---:|---:|---:|---:|"]
    for arm, found in results.items():
        less = percent(found["minus_one"]) if "minus_one" in found else ""
        tokens = "{:.1f} [{:.1f}, {:.1f}]".format(*found["tokens"])
        cells = (TITLES[arm], str(len(found["seeds"])), percent(found["accuracy"]), tokens, less)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def percent(interval: list[float]) -> str:
    """`34.2 [31.0, 37.5]`, in percent."""
    mean, low, high = (100 * value for value in interval)
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def write(results: dict[str, Any], docs: Path) -> None:
    """Write `results.json`, and the table into the docs between their marks."""
    (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    text = docs.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    docs.write_text(f"{before}{START}\n\n{table(results)}\n\n{END}{after}", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing and sum it up; the exit status of the first run that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/experiments/selfplay"), help="folder of the runs")
    parser.add_argument("--arms", default="one,two", help=f"of {', '.join(ARMS)}; default one,two")
    parser.add_argument("--seeds", default="0,1,2", help="default 0,1,2")
    parser.add_argument("--summarize", action="store_true", help="run nothing")
    given = parser.parse_args(arguments)
    arms, seeds = given.arms.split(","), [int(seed) for seed in given.seeds.split(",")]
    unknown = sorted(set(arms) - set(ARMS))
    if unknown:
        parser.error(f"arms are {', '.join(ARMS)}, got {', '.join(unknown)}")
    output = (ROOT / given.output).resolve()
    for seed in () if given.summarize else seeds:
        for arm in arms:
            status = subprocess.run(command(arm, seed, output), cwd=ROOT, check=False).returncode
            if status:
                return status
    results = summarize(output, arms, seeds)
    if not results:
        parser.error(f"no run in {given.output} is finished")
    write(results, ROOT / "docs" / "selfplay.md")
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
