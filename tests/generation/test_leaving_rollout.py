"""The rollout that drops finished sequences draws what TRL's own rollout draws."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from trl import GRPOConfig, GRPOTrainer

from trl_rlsp.errors import ConfigError
from trl_rlsp.generation import leaving_rollout


def trainer(folder, tmp_path, rewards, *, steps=1, rollout=leaving_rollout, prompts=("8 1 9 : 72", "1 2 : 3"), **args):
    """A trainer on the taught model; `prompts` are repeated to 8 rows."""
    from datasets import Dataset

    given = {"per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 16, **args}
    config = GRPOConfig(
        str(tmp_path),
        max_steps=steps,
        learning_rate=0.0,
        bf16=False,
        use_cpu=True,
        report_to="none",
        gradient_checkpointing=False,
        save_strategy="no",
        **given,
    )
    rows = Dataset.from_dict({"prompt": list(prompts) * 4})
    return GRPOTrainer(str(folder), rewards, args=config, train_dataset=rows, rollout_func=rollout)


def collected(folder, tmp_path, rollout, steps):
    """(prompt, completion) of every sample of a run."""
    seen = []

    def note(prompts, completions, **kwargs):
        seen.extend(zip(prompts, completions, strict=True))
        return [float(len(text) % 2) for text in completions]

    trainer(folder, tmp_path, note, steps=steps, rollout=rollout, beta=0.0).train()
    return seen


def test_draws_the_distribution_of_trls_rollout(taught_folder, tmp_path):
    """Each of three taught completions a prompt comes up as often as in TRL's own rollout, within 4 standard errors."""
    ours = collected(taught_folder, tmp_path / "a", leaving_rollout, 40)
    theirs = collected(taught_folder, tmp_path / "b", None, 40)
    assert len(ours) == len(theirs) == 320
    a, b = Counter(ours), Counter(theirs)
    common = [text for text, _ in (a + b).most_common(6)]
    assert sum(a[text] + b[text] for text in common) > 0.8 * 640
    for text in common:
        share = (a[text] + b[text]) / 640
        error = math.sqrt(2 * share * (1 - share) / 320)
        assert abs(a[text] - b[text]) / 320 < 4 * error, text


def test_trainer_takes_the_tokens_as_they_are(taught_folder, tmp_path):
    """With the sampling model unchanged, the importance ratio is 1 and the KL to the reference 0."""
    run = trainer(taught_folder, tmp_path, lambda completions, **_: [float(len(c)) for c in completions], beta=0.1)
    run.train()
    logged = [entry for entry in run.state.log_history if "kl" in entry]
    assert logged[0]["kl"] == pytest.approx(0.0, abs=1e-6)
    assert logged[0]["clip_ratio/region_mean"] == 0.0
    assert logged[0]["completions/clipped_ratio"] < 0.1
    assert 5 < logged[0]["completions/mean_length"] < 14


@pytest.mark.parametrize("setting", [{"top_k": 5}, {"min_p": 0.1}, {"repetition_penalty": 1.2}])
def test_refuses_sampling_it_does_not_know(taught_folder, tmp_path, setting):
    (name,) = setting
    with pytest.raises(ConfigError, match=f"got {name}="):
        trainer(taught_folder, tmp_path, lambda completions, **_: [0.0] * len(completions), **setting).train()
