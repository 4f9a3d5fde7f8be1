"""The public surface, pinned, and what importing it costs."""

from __future__ import annotations

import doctest
import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import trl_rlsp

NAMES = [
    "AlphaSchedule",
    "BehaviourExploration",
    "CalculationExploration",
    "DiversityExploration",
    "JudgeExploration",
    "LengthExploration",
    "NoveltyExploration",
    "OutcomeVerifier",
    "RLSPGRPOConfig",
    "RLSPGRPOTrainer",
    "RLSPRewards",
    "RLSPSFTConfig",
    "RLSPSFTTrainer",
    "load_problems",
    "rlsp_rewards",
]
SIGNATURES = {
    "AlphaSchedule": "shape, start, end, window",
    "BehaviourExploration": "kinds, cap, half, spacing, ngram",
    "CalculationExploration": "K",
    "DiversityExploration": "K, embed",
    "JudgeExploration": (
        "model, base_url, api_key, rubric, cache, concurrency, timeout, retries, deadline, max_chars, options"
    ),
    "LengthExploration": "form, C, guarded, ngram",
    "NoveltyExploration": "form",
    "RLSPRewards": (
        "verifier, exploration, alpha, gate, length_penalty, objective, k, end_of_thinking, thinking_required"
    ),
    "RLSPGRPOTrainer": (
        "model, reward_funcs, args, train_dataset, eval_dataset, processing_class, reward_processing_classes, "
        "callbacks, optimizers, quantization_config, peft_config, tools, rollout_func, environment_factory"
    ),
}
ROOT = Path(trl_rlsp.__file__).parent
WITH_EXAMPLES = sorted(
    "trl_rlsp." + ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in ROOT.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


class TestNames:
    def test_all(self):
        assert trl_rlsp.__all__ == NAMES

    def test_each_is_there(self):
        for name in NAMES:
            assert getattr(trl_rlsp, name) is not None
        assert set(NAMES) <= set(dir(trl_rlsp))

    def test_star_import(self):
        space = {}
        exec("from trl_rlsp import *", space)
        assert set(NAMES) <= set(space)

    def test_each_is_the_class_at_its_home(self):
        from trl_rlsp.rewards import RLSPRewards
        from trl_rlsp.trainers import RLSPSFTTrainer

        assert trl_rlsp.RLSPRewards is RLSPRewards
        assert trl_rlsp.RLSPSFTTrainer is RLSPSFTTrainer
        assert isinstance(trl_rlsp.rlsp_rewards, RLSPRewards)

    def test_another_name(self):
        with pytest.raises(AttributeError, match="No trl_rlsp attribute RLSP"):
            _ = trl_rlsp.RLSP

    def test_version_is_the_metadatas(self):
        from importlib.metadata import PackageNotFoundError, version

        try:
            installed = version("trl-rlsp")
        except PackageNotFoundError:
            pytest.skip("run from the source tree, not installed")
        assert trl_rlsp.__version__ == installed

    def test_everything_is_typed_and_documented(self):
        for name in NAMES[:-1]:
            thing = getattr(trl_rlsp, name)
            assert thing.__doc__, name
            function = thing.__init__ if inspect.isclass(thing) else thing
            for parameter in inspect.signature(function).parameters.values():
                assert parameter.name == "self" or parameter.annotation is not parameter.empty, (name, parameter)


@pytest.mark.parametrize(("name", "arguments"), SIGNATURES.items())
def test_arguments(name, arguments):
    found = list(inspect.signature(getattr(trl_rlsp, name).__init__).parameters)
    assert found[1:] == arguments.split(", ")


def test_commands():
    from trl_rlsp.cli import COMMANDS
    from trl_rlsp.commands import command_class

    expected = "init recipes check filter doctor plan run sft grpo harvest merge eval compare efficiency budget"
    assert list(COMMANDS) == [*expected.split(), "report", "forecast", "behaviours", "completion"]
    assert all(callable(command_class(command).parse) for command in COMMANDS)


class TestImport:
    def run(self, code):
        done = subprocess.run(
            [sys.executable, "-c", code], env=dict(os.environ), capture_output=True, text=True, check=True, timeout=120
        )
        return done.stdout.strip()

    def test_loads_nothing_heavy(self):
        heavy = (
            "torch",
            "sympy",
            "vllm",
            "transformers",
            "datasets",
            "trl",
            "numpy",
            "math_verify",
            "reasoning_gym",
            "openai",
            "pydantic",
        )
        code = f"import sys, trl_rlsp; print([name for name in {heavy!r} if name in sys.modules])"
        assert self.run(code) == "[]"

    def test_the_rewards_load_neither_torch_nor_sympy(self):
        code = (
            "import sys; from trl_rlsp import DiversityExploration, JudgeExploration, rlsp_rewards; "
            "print([n for n in ('torch', 'sympy', 'vllm', 'math_verify', 'openai', 'pydantic') if n in sys.modules])"
        )
        assert self.run(code) == "[]"

    def test_loads_nothing_but_its_own_modules_beyond_trl(self):
        code = (
            "import sys, trl; before = set(sys.modules); import trl_rlsp; "
            "names = {name.partition('.')[0] for name in set(sys.modules) - before}; "
            "print(sorted(names - set(sys.stdlib_module_names)))"
        )
        assert self.run(code) == "['lazy_loader', 'trl_rlsp']"


def test_the_rewards_have_examples():
    assert {f"trl_rlsp.rewards.{name}" for name in ("suite", "outcome", "exploration")} <= set(WITH_EXAMPLES)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_in_docstrings_run(name):
    module = importlib.import_module(name)
    assert any(test.examples for test in doctest.DocTestFinder().find(module))
    assert doctest.testmod(module).failed == 0
