"""Live metrics, and what they cost."""

from __future__ import annotations

import pickle
import time

import pytest

from trl_rlsp.behaviours import KINDS, BehaviourMetrics

PROSE = (
    "So the remaining pairs give 14 and 22. Let me check the first one: 14 / 2 = 7, which is prime. However, the next "
    "pair is larger than the bound, so I go back to the case n = 4. Alternatively, we can count the complement. There "
    "are 36 outcomes in all and 11 of them have a six, so the probability is 25/36. Wait, no, the dice are different. "
)
TRACE = "6 + 3 = 9 | 9 + 2 = 11 ? 18 no | 9 * 2 = 18 ? 20 no | "


class TestMetrics:
    def test_rates(self):
        log = {}
        texts = ["Let me check: 3 * 4 = 12.", [{"role": "assistant", "content": "no more"}]]
        BehaviourMetrics()(texts, log_metric=log.__setitem__, completion_ids=[[1] * 15, [1] * 5], solution=["12", "1"])
        # one in 20 tokens: 1000 / 20
        assert log == {f"behaviour/{kind}": 50.0 if kind == "verification" else 0.0 for kind in KINDS}

    def test_nothing_without_a_logger_or_completions(self):
        log = {}
        assert BehaviourMetrics()(["Let me check: 3."]) is None
        BehaviourMetrics()([], log_metric=log.__setitem__)
        assert log == {}

    def test_pickles(self):
        assert pickle.loads(pickle.dumps(BehaviourMetrics())).__name__ == "behaviour_metrics"

    @pytest.mark.parametrize("text", [PROSE + PROSE[:240], (TRACE * 9)[:420]], ids=["prose", "search"])
    def test_costs_little(self, text):
        # 256 completions of about 160 tokens; a step of 10 s, so 100 ms; the quickest of three, in processor time
        texts = [f"{text} {i}" for i in range(256)]
        spent = []
        for _ in range(3):
            start = time.process_time()
            BehaviourMetrics()(texts, log_metric=lambda name, value: None, completion_ids=[[0] * 160] * 256)
            spent.append(time.process_time() - start)
        assert min(spent) < 1.0  # ten times what it takes; docs/behaviours.md has the measurement
