"""Judged completions, built from few words."""

from __future__ import annotations

import pytest

from trl_rlsp.problems import problem_key
from trl_rlsp.runs import Completion
from trl_rlsp.selfplay import Judged


@pytest.fixture(scope="session")
def judged():
    """Build a `Judged`: a right completion of the problem `What is 3 + 4?`, unless told otherwise."""

    def build(text=r"3 + 4 = 7 \boxed{7}", *, prompt="What is 3 + 4?", score=1.0, row=None, **fields):
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        completion = Completion(**{"text": text, "prompt": messages, "score": score, "step": 1, "file": "f", **fields})
        key = problem_key(row or {"prompt": messages})
        return Judged(completion, row, key, score, "match" if score == 1.0 else "mismatch")

    return build
