"""Verifications per second beside TRL's `accuracy_reward`, in one process and one run; what counts is the ratio.

    python benchmarks/verifier.py [--problems 150] [--group 8] [--workers 2] [--repeats 3]

Two loads, both groups of completions of one problem as GRPO makes them, half of them right:
- integers: answers of AIME problems and near misses;
- MATH: answers of MATH-500 problems, also in other forms, and wrong ones made from them.

The problem sets are looked for in $TRL_RLSP_DATA, then in ../shared/data; without them a small built-in list serves.
Target: at least 10 times TRL on integers, 4 times on MATH, with 2 workers.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BUILT_IN = [
    "42",
    "\\frac{3}{4}",
    "3\\sqrt{13}",
    "6-5i",
    "2k+2",
    "(3,4]",
    "x^2+5x+6",
    "90^\\circ",
    "1,-2",
    "\\text{even}",
]
REASONING = "We set up the equation and solve it step by step, checking each case in turn. "

Batch = tuple[list[Any], list[str]]


def main() -> None:
    """Time both rewards on both loads and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=150)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="the best time of each reward counts")
    options = parser.parse_args()

    from trl.rewards import accuracy_reward

    from trl_rlsp.rewards import OutcomeVerifier

    verifier = OutcomeVerifier(workers=options.workers)
    started = time.perf_counter()
    verifier.start()
    launch = time.perf_counter() - started
    verifier.verdicts([r"\boxed{x + x}"], solution=["2x"])
    print(f"start() returns after {launch * 1e3:.1f} ms, workers answer after {time.perf_counter() - started:.2f} s\n")
    print(f"{'load':10} {'checks':>7} {'TRL /s':>9} {'ours /s':>9} {'ratio':>7} {'again, ms':>10} {'agree':>7}")
    for name, golds in (("integers", integer_golds()), ("MATH", math_golds())):
        theirs_best = ours_best = again_best = float("inf")
        for seed in range(options.repeats):
            batch = groups(golds[: options.problems], options.group, seed)
            forget(verifier)
            ours, seconds = timed(lambda b=batch: verifier(completions=b[0], solution=b[1]))
            ours_best = min(ours_best, seconds)
            _, seconds = timed(lambda b=batch: verifier(completions=b[0], solution=b[1]))
            again_best = min(again_best, seconds)
            theirs, seconds = timed(lambda b=batch: accuracy_reward(b[0], [f"\\boxed{{{g}}}" for g in b[1]]))
            theirs_best = min(theirs_best, seconds)
        count = len(batch[1])
        agree = sum(a == b for a, b in zip(ours, theirs, strict=True)) / count
        print(
            f"{name:10} {count:7} {count / theirs_best:9.0f} {count / ours_best:9.0f} "
            f"{theirs_best / ours_best:7.1f} {again_best * 1e3:10.2f} {agree:7.1%}"
        )
    verifier.close()


def timed(call: Callable[[], list[float | None]]) -> tuple[list[float | None], float]:
    """(result, seconds)."""
    started = time.perf_counter()
    return call(), time.perf_counter() - started


def forget(verifier: Any) -> None:
    """Empty every cache of this package and start new workers, so that each repeat starts cold."""
    verifier.close()
    verifier.cache.clear()
    verifier.verdicts([r"\boxed{x + x}"], solution=["2x"])
    for name, module in list(sys.modules.items()):
        if name.startswith("trl_rlsp"):
            for value in list(vars(module).values()):
                getattr(value, "cache_clear", lambda: None)()


def groups(golds: list[str], size: int, seed: int) -> Batch:
    """`size` completions for each gold, half of them right, shuffled within their group."""
    rng = random.Random(seed)
    completions: list[Any] = []
    solutions: list[str] = []
    for gold in golds:
        answers = [same_value(gold, rng) if i < size // 2 else wrong(gold, golds, rng) for i in range(size)]
        rng.shuffle(answers)
        for answer in answers:
            text = REASONING * rng.randint(3, 20) + f"The final answer is $\\boxed{{{answer}}}$."
            completions.append([{"role": "assistant", "content": text}])
            solutions.append(gold)
    return completions, solutions


def same_value(gold: str, rng: random.Random) -> str:
    """The gold answer as a model may write it."""
    variants = [
        gold,
        gold,
        gold.replace("\\frac", "\\dfrac"),
        f" {gold} ",
        gold.replace("(", "\\left(").replace(")", "\\right)"),
    ]
    return rng.choice(variants)


def wrong(gold: str, golds: list[str], rng: random.Random) -> str:
    """A near miss, or another problem's answer."""
    digits = [m.start() for m in re.finditer(r"\d", gold)]
    kind = rng.randrange(3)
    if digits and kind < 2:
        at = rng.choice(digits)
        return gold[:at] + str((int(gold[at]) + rng.randint(1, 8)) % 10) + gold[at + 1 :]
    return rng.choice([other for other in golds if other != gold] or [gold + "1"])


def integer_golds() -> list[str]:
    """AIME answers, or made-up ones."""
    rows = _rows("aime_1983_2023.jsonl")
    return [row["answer"] for row in rows] if rows else [str(n * 37 % 1000) for n in range(1, 201)]


def math_golds() -> list[str]:
    """Answers of MATH-500 problems, or the built-in list."""
    rows = _rows("math_250.jsonl")
    return [row["answer"] for row in rows] if rows else BUILT_IN * 15


def _rows(name: str) -> list[dict[str, Any]]:
    folder = Path(os.environ.get("TRL_RLSP_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / name).exists():
        print(f"({name} is not in {folder}; using built-in answers)")
        return []
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


if __name__ == "__main__":
    main()
