"""The reward's fields in a stage file, and the suite that they build."""

from __future__ import annotations

import pytest

from trl_rlsp import AlphaSchedule
from trl_rlsp.errors import ConfigError
from trl_rlsp.stages import RewardArguments, parse_stage
from trl_rlsp.verification import available_backend


def test_defaults():
    suite = RewardArguments().build()
    assert (suite.schedule, suite.gate, suite.length_penalty) == (AlphaSchedule("constant", 0.8), "none", 0.25)
    assert [part.__name__ for part in suite] == ["outcome_verifier", "length_exploration"]


def test_every_field_arrives():
    suite = RewardArguments(
        alpha=0.6,
        alpha_schedule="cosine",
        alpha_end=0.9,
        exploration="length, diversity,behaviour,calculation,novelty",
        length_c=60,
        length_ngram=8,
        calculation_k=5,
        diversity_k=3,
        novelty_form="historical",
        behaviour_cap=2,
        gate="adaptive",
        length_penalty=0.5,
    ).build()
    assert suite.schedule == AlphaSchedule("cosine", 0.6, 0.9)
    assert (suite.gate, suite.length_penalty) == ("adaptive", 0.5)
    length, diversity, behaviour, calculation, novelty = suite.exploration
    assert (length.C, length.ngram, diversity.K, behaviour.cap, calculation.K) == (60, 8, 3, 2, 5)
    assert novelty.form == "historical"


def test_a_program_that_fails_a_test():
    """Shares of tests in a first phase, the full verdict in a second; only the latter is 0 for half of the tests."""
    if available_backend() is None:
        pytest.skip("no sandbox on this machine")
    given = {"prompts": ["Double x."] * 2, "tests": [["assert f(1) == 2", "assert f(2) == 4"]] * 2}
    programs = [f"```python\ndef f(x):\n    return {result}\n```" for result in ("x + 1", "2 * x")]
    for all_or_nothing, expected in ((False, [0.5, 1.0]), (True, [0.0, 1.0])):
        suite = RewardArguments(exploration="none", all_or_nothing=all_or_nothing, log_behaviours=False).build()
        assert suite(completions=programs, **given) == expected
        suite.close()


def test_judge(tmp_path):
    pytest.importorskip("openai")
    arguments = RewardArguments(
        exploration="judge",
        judge_model="a-model",
        judge_base_url="http://localhost:1/v1",
        judge_cache=str(tmp_path / "grades"),
    )
    (judge,) = arguments.build().exploration
    assert judge.__name__ == "judge_exploration"
    assert "a-model" in repr(judge)


def test_none():
    assert RewardArguments(exploration="none").build().exploration == ()


def test_a_list_in_yaml(tmp_path):
    file = tmp_path / "grpo.yaml"
    file.write_text("exploration: [length, diversity]\n")
    suite = parse_stage((RewardArguments,), ["--config", str(file)], "rlsp grpo")[0].build()
    assert [part.__name__ for part in suite.exploration] == ["length_exploration", "diversity_exploration"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"exploration": "curiosity"},
            "exploration is 'none' or a comma-separated list of length, calculation, .* got 'curiosity'",
        ),
        ({"exploration": "length,none"}, "got 'length,none'"),
        ({"exploration": "length,length"}, "two rewards have the name 'length_exploration'"),
        ({"exploration": "judge"}, "exploration 'judge' needs a model, got none; set judge_model"),
        ({"alpha_schedule": "linear"}, "other schedules have a start and an end, got 'linear' with end=None"),
        ({"gate": "adaptive", "length_form": "paper"}, "gate='adaptive' needs exploration in"),
    ],
)
def test_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        RewardArguments(**fields).build()


def test_behaviours_are_logged_unless_switched_off():
    text = r"Let me check: 3 * 4 = 12. \boxed{12}"
    for fields, expected in (({}, True), ({"log_behaviours": False}, False)):
        logged: dict[str, float] = {}
        suite = RewardArguments(**fields).build()
        suite.verifier(completions=[text], solution=["12"], completion_ids=[[0] * 20], log_metric=logged.__setitem__)
        suite.close()
        assert ("behaviour/verification" in logged) is expected
        assert logged.get("behaviour/verification", 50.0) == 50.0  # 1 in 20 tokens
