"""Runs made by hand: in memory, and on disk as training writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from trl_rlsp.runs import Completion, Run


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
        return Completion(text, problem, problem, score, reason, finished=True, step=step, rewards=rewards)

    return make


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

    from trl_rlsp.evaluation import Estimate
    from trl_rlsp.runs import Evaluated

    def completion(i, score, **fields):
        text = NASTY[i % len(NASTY)]
        return Completion(text, f"{i} {text}", text, score, text, finished=True, level=text, **fields)

    everything = " ".join(NASTY)
    figures = {"pass_at_1": Estimate(0.5, 0.4, 0.6), everything: Estimate(1.0, 1.0, 1.0)}
    evaluations = [
        Evaluated(f"{name} {everything}", figures, {}, [completion(i, score) for i in range(30)], everything)
        for name, score in (("a", None), ("b", 1.0))
    ]
    logged = [completion(i, 0.0, step=i // 6 + 1, rewards={everything: 0.5}) for i in range(36)]
    history = [
        {"step": i, "reward": float(i), f"rewards/{everything}/mean": 0.5, "entropy": 0.1, "frac_reward_zero_std": 1.0}
        for i in range(1, 7)
    ]
    return Run(everything, Path("nasty"), evaluations, history, logged, [everything])
