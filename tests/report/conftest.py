"""Runs made by hand: in memory, and on disk as training writes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trl_rlsp.report import Completion, Run


@pytest.fixture
def make_run():
    """`make_run(reward=[...], accuracy=[...])`: a run whose log has these values, one a step."""

    def make(name="run", completions=(), evaluations=(), **metrics):
        keys = {"accuracy": "rewards/outcome_verifier/mean", "held_out": "eval_rewards/outcome_verifier/mean"}
        steps = max(map(len, metrics.values()), default=0)
        history = [
            {"step": i + 1, **{keys.get(key, key): values[i] for key, values in metrics.items() if i < len(values)}}
            for i in range(steps)
        ]
        return Run(name, Path(name), tuple(evaluations), history, tuple(completions))

    return make


@pytest.fixture
def logged():
    """`logged(step, "text", 1.0)`: a completion as the RL stage logs it."""

    def make(step, text="text", score=1.0, *, problem="1 + 1", reason="match", **rewards):
        rewards = {"outcome_verifier": score, **rewards}
        return Completion(problem, text, score, reason, prompt=problem, finished=True, step=step, rewards=rewards)

    return make


def sample_row(problem, text, score, **fields):
    row = {"problem": problem, "text": text, "tokens": 7, "finished": True, "search_steps": 0, "score": score}
    return {**row, "reason": "match" if score else "mismatch", **fields}


@pytest.fixture
def write_evaluation():
    """`write_evaluation(folder, [(problem, text, score), ...])`: an evaluation on disk, as `rlsp eval` leaves it."""

    def write(folder, samples, settings=None, **figures):
        folder.mkdir(parents=True)
        rows = [sample if isinstance(sample, dict) else sample_row(*sample) for sample in samples]
        (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        figures = figures or {"pass_at_1": {"mean": 0.5, "low": 0.4, "high": 0.6}}
        (folder / "metrics.json").write_text(json.dumps({**figures, "settings": settings or {"dataset": "hub/set"}}))
        return folder

    return write


@pytest.fixture
def write_training():
    """`write_training(folder, {step: [(prompt, completion, score, verdict), ...]}, history)`: what TRL leaves."""

    def write(folder, batches, history=(), columns=None):
        import pandas as pd

        (folder / "completions").mkdir(parents=True)
        for step, rows in batches.items():
            prompts, completions, scores, verdicts = zip(*rows, strict=True)
            table = {
                "step": [step] * len(rows),
                "prompt": [[{"role": "user", "content": prompt}] for prompt in prompts],
                "completion": [[{"role": "assistant", "content": text}] for text in completions],
                "outcome_verifier": [float("nan") if score is None else score for score in scores],
                "verdict": verdicts,
                "advantage": [0.0] * len(rows),
                **(columns or {}),
            }
            pd.DataFrame(table).to_parquet(folder / "completions" / f"completions_{step:05d}.parquet")
        if history:
            (folder / "trainer_state.json").write_text(json.dumps({"log_history": list(history)}))
        return folder

    return write


NASTY = (
    "</script><script>window.hacked = 1</script>",
    "<!-- <script> ]]> --><img src=x onerror='window.hacked = 2'>",
    "\"><svg onload=window.hacked=3>'",
    "{{ 7 * 191 }}{% raw %}",
    "line\u2028separator\u2029 and \u202eright to left\u202c, nothing\u200bwide, \x00\x1b[31m, lone \ud83d",
    "javascript:window.hacked=4",
)
"""Texts that a completion, a prompt, a reason or a name may hold."""


@pytest.fixture
def nasty_run():
    """A run in which every text is nasty, and about which there is something to warn."""

    from trl_rlsp.evaluation.bootstrap import Estimate
    from trl_rlsp.report import Evaluated

    def completion(i, score, **fields):
        text = NASTY[i % len(NASTY)]
        return Completion(f"{i} {text}", text, score, reason=text, prompt=text, finished=True, level=text, **fields)

    everything = " ".join(NASTY)
    figures = {"pass_at_1": Estimate(0.5, 0.4, 0.6), everything: Estimate(1.0, 1.0, 1.0)}
    evaluations = [
        Evaluated(f"{name} {everything}", figures, {"dataset": everything}, [completion(i, score) for i in range(30)])
        for name, score in (("a", None), ("b", 1.0))
    ]
    logged = [completion(i, 0.0, step=i // 6 + 1, rewards={everything: 0.5}) for i in range(36)]
    history = [
        {"step": i, "reward": float(i), f"rewards/{everything}/mean": 0.5, "entropy": 0.1, "frac_reward_zero_std": 1.0}
        for i in range(1, 7)
    ]
    return Run(everything, Path("nasty"), evaluations, history, logged, [everything])
