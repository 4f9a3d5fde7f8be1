"""Collect the figures of finished quickstart runs into one file.

    python recipes/quickstart/collect.py runs/quickstart-seed0 runs/quickstart-seed1 runs/quickstart-seed2

Writes `recipes/quickstart/results.json`: for each run its seed, the seconds of its training stages and the figures
of each evaluation, and for each run the differences RLSP - SFT and own - RLSP on the same problems with their 95 %
intervals (paired bootstrap over problems).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from trl_rlsp.evaluation import bootstrap_mean, first_samples


def figures(run: Path) -> dict:
    """Everything `results.json` holds about one run."""
    found: dict = {"run": run.name, "evaluations": {}, "seconds": {}}
    for folder in sorted(run.glob("eval_*")):
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        found["seed"] = metrics.pop("settings")["seed"]
        found["evaluations"][folder.name.removeprefix("eval_")] = metrics
    for stage in ("sft", "rlsp", "own"):
        found["seconds"][stage] = json.loads((run / stage / "stage.json").read_text(encoding="utf-8"))["seconds"]
    for one, other in (("RLSP", "SFT"), ("own", "RLSP")):
        after, before = first_samples(run / f"eval_{one}"), first_samples(run / f"eval_{other}")
        gain = bootstrap_mean([after[problem]["score"] - before[problem]["score"] for problem in before])
        found[f"{one}_minus_{other}".lower()] = {"mean": gain.mean, "low": gain.low, "high": gain.high}
    return found


def main() -> None:
    """Write results.json."""
    runs = sorted((figures(Path(run)) for run in sys.argv[1:]), key=lambda run: run["seed"])
    path = Path(__file__).parent / "results.json"
    path.write_text(json.dumps({"runs": runs}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
