"""The rewards inside TRL's real `GRPOTrainer`, and the RLSP trainer around it."""

from __future__ import annotations

import inspect
from pathlib import Path

import pandas
import pytest
from datasets import Dataset
from tiny_grpo import ON_CPU
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config, Qwen2ForCausalLM
from trl import GRPOConfig, GRPOTrainer, SFTTrainer

from trl_rlsp import LengthExploration, RLSPGRPOConfig, RLSPGRPOTrainer, RLSPRewards, RLSPSFTTrainer
from trl_rlsp.errors import ConfigError
from trl_rlsp.text import effective_length
from trl_rlsp.trainers._adapter import warn_if_untested
from trl_rlsp.trainers.grpo import _has_own_reward

SOLUTIONS = {"8 1 9 : 72": "72", "1 2 : 3": "3"}
NAMES = ["outcome_verifier", "length_exploration"]


def dataset(*, messages=True, solutions=SOLUTIONS):
    prompts = [
        [{"role": "user", "content": problem}] if messages else f"<user> {problem} <assistant>" for problem in SOLUTIONS
    ]
    return Dataset.from_list([{"prompt": p, "solution": s} for p, s in zip(prompts, solutions.values(), strict=True)])


def config(folder, kind=GRPOConfig, **settings):
    return kind(
        output_dir=str(folder),
        **{
            "max_steps": 1,
            "per_device_train_batch_size": 32,
            "num_generations": 16,
            "max_completion_length": 12,
            "temperature": 1.0,
            "learning_rate": 1e-3,
            **ON_CPU,
            "log_completions": True,
            "num_completions_to_print": 0,
            "scale_rewards": "none",
            **settings,
        },
    )


@pytest.fixture
def load(taught_folder):
    """A fresh copy of the taught model, and its tokenizer."""

    def fresh():
        tokenizer = AutoTokenizer.from_pretrained(taught_folder, padding_side="left")
        return AutoModelForCausalLM.from_pretrained(taught_folder, dtype="float32"), tokenizer

    return fresh


def trained(trainer):
    """(what the first step logged, its completions with rewards as TRL wrote them)."""
    trainer.train()
    (file,) = Path(trainer.args.output_dir, "completions").glob("*.parquet")
    return trainer.state.log_history[0], pandas.read_parquet(file)


def text_of(completion):
    return completion if isinstance(completion, str) else completion[0]["content"]


def problem_of(prompt):
    text = prompt if isinstance(prompt, str) else prompt[0]["content"]
    return next(problem for problem in SOLUTIONS if problem in text)


class TestRewardsInTRL:
    def test_group_scaling_leaves_the_bonus_its_size_where_verdicts_are_equal(self, load, tmp_path):
        """TRL divides by the deviation plus 0.0001; where the verdicts differ, by that of the whole reward."""
        model, tokenizer = load()
        rewards = RLSPRewards(exploration=[LengthExploration(C=6)])
        trainer = GRPOTrainer(
            model,
            reward_funcs=rewards,
            args=config(tmp_path, scale_rewards="group"),
            train_dataset=dataset(messages=False, solutions={**SOLUTIONS, "1 2 : 3": "99"}),  # nobody solves the second
            processing_class=tokenizer,
        )
        _, rows = trained(trainer)
        rewards.close()
        lengths = [effective_length(r["completion"], prompt=problem_of(r["prompt"])) for _, r in rows.iterrows()]
        rows["bonus"] = [0.25 * length / (length + 6) for length in lengths]
        unsolved = rows[[problem_of(prompt) == "1 2 : 3" for prompt in rows["prompt"]]]
        mixed = rows.drop(unsolved.index)
        assert len(unsolved) == len(mixed) == 16
        assert unsolved["bonus"].std() > 0.01
        expected = unsolved["bonus"] - unsolved["bonus"].mean()
        assert list(unsolved["advantage"]) == pytest.approx(list(expected), abs=1e-5)
        whole = mixed["outcome_verifier"] + mixed["bonus"]
        assert mixed["outcome_verifier"].nunique() == 2
        expected = (whole - whole.mean()) / (whole.std() + 1e-4)
        assert list(mixed["advantage"]) == pytest.approx(list(expected), abs=1e-4)

    @pytest.mark.parametrize("messages", [True, False], ids=["messages", "plain"])
    @pytest.mark.parametrize("suite", ["rlsp_rewards", "RLSPRewards"])
    def test_parts_and_sum(self, load, taught, tmp_path, messages, suite):
        if suite == "rlsp_rewards":
            from trl_rlsp import rlsp_rewards as rewards

            constant = 1000
        else:
            rewards, constant = RLSPRewards(exploration=[LengthExploration(C=6)]), 6
        model, tokenizer = load()
        trainer = GRPOTrainer(
            model,
            reward_funcs=rewards,
            args=config(tmp_path),
            train_dataset=dataset(messages=messages),
            processing_class=tokenizer,
        )
        logged, rows = trained(trainer)
        rewards.close()
        assert trainer.reward_func_names == NAMES
        assert len(rows) == 32
        verdicts, expected = [], []
        for _, row in rows.iterrows():
            text = text_of(row["completion"])
            verdict = float(text.endswith(f"\\boxed{{ {SOLUTIONS[problem_of(row['prompt'])]} }}"))
            length = effective_length(text, prompt=problem_of(row["prompt"]))
            verdicts.append(verdict)
            assert row["outcome_verifier"] == verdict, text
            assert row["length_exploration"] == pytest.approx(0.25 * length / (length + constant), abs=1e-6)
            # R = 0.8 V + 0.2 Rex; the sum of the list is R / 0.8
            expected.append((0.8 * verdict + 0.2 * length / (length + constant)) / 0.8)
        assert 0 < sum(verdicts) < 32  # the model gives right and wrong answers
        assert logged["rewards/outcome_verifier/mean"] == pytest.approx(sum(verdicts) / 32)
        assert logged["rewards/length_exploration/mean"] == pytest.approx(rows["length_exploration"].mean(), abs=1e-6)
        assert logged["reward"] == pytest.approx(sum(expected) / 32, abs=1e-6)
        assert logged["exploration/effective_length"] > 0
        assert logged["verifier/match"] == pytest.approx(sum(verdicts) / 32)
        assert set(rows["verdict"]) <= {"match", "mismatch", "no_answer", "several_answers"}
        # no scaling: advantage = reward - mean of its group
        rows["reward"] = expected
        groups = rows.groupby(rows["prompt"].map(problem_of))["reward"].transform("mean")
        assert list(rows["advantage"]) == pytest.approx(list(rows["reward"] - groups), abs=1e-5)

    def test_rows_that_are_not_scorable(self, load, tmp_path):
        """Their verdict is None in every part, and they move nothing."""
        model, tokenizer = load()
        rewards = RLSPRewards()
        trainer = GRPOTrainer(
            model,
            reward_funcs=rewards,
            args=config(tmp_path),
            train_dataset=dataset(solutions={"8 1 9 : 72": "72", "1 2 : 3": None}),
            processing_class=tokenizer,
        )
        logged, rows = trained(trainer)
        rewards.close()
        unscorable = rows["prompt"].map(problem_of) == "1 2 : 3"
        assert unscorable.sum() == 16
        assert rows[unscorable][NAMES].isna().all(axis=None)
        assert (rows[unscorable]["advantage"] == 0).all()
        assert not rows[~unscorable][NAMES].isna().any(axis=None)
        assert (rows[~unscorable]["advantage"] != 0).any()
        assert logged["rewards/outcome_verifier/mean"] == rows[~unscorable]["outcome_verifier"].mean()

    def test_nothing_scorable_at_all_changes_no_weight(self, load, tmp_path):
        model, tokenizer = load()
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        rewards = RLSPRewards()
        trainer = GRPOTrainer(
            model,
            reward_funcs=rewards,
            args=config(tmp_path),
            train_dataset=dataset(solutions={"8 1 9 : 72": None, "1 2 : 3": None}),
            processing_class=tokenizer,
        )
        trainer.train()
        rewards.close()
        assert all(p.equal(before[name]) for name, p in trainer.model.named_parameters())

    def test_the_suite_as_one_function(self, load, tmp_path):
        """As `trl grpo --reward_funcs trl_rlsp.rlsp_rewards` passes it: inside a list of names."""
        from trl_rlsp import rlsp_rewards

        model, tokenizer = load()
        trainer = GRPOTrainer(
            model,
            reward_funcs=[rlsp_rewards],
            args=config(tmp_path),
            train_dataset=dataset(),
            processing_class=tokenizer,
        )
        logged, rows = trained(trainer)
        rlsp_rewards.close()
        assert trainer.reward_func_names == ["rlsp_rewards"]
        assert 0 < logged["rewards/outcome_verifier/mean"] < 1
        assert 0 < logged["rewards/length_exploration/mean"] < 0.25
        assert logged["rewards/rlsp_rewards/mean"] == pytest.approx(
            logged["rewards/outcome_verifier/mean"] + logged["rewards/length_exploration/mean"], abs=1e-5
        )
        assert logged["reward"] == pytest.approx(rows["rlsp_rewards"].mean(), abs=1e-5)

    def test_qwen2(self, tokenizer, tmp_path):
        left = AutoTokenizer.from_pretrained(save(tokenizer, tmp_path / "tokenizer"), padding_side="left")
        size = {"vocab_size": len(left), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
        heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64}
        model = Qwen2ForCausalLM(Qwen2Config(**size, **heads, eos_token_id=left.eos_token_id))
        rewards = RLSPRewards()
        trainer = GRPOTrainer(
            model, reward_funcs=rewards, args=config(tmp_path), train_dataset=dataset(), processing_class=left
        )
        logged, rows = trained(trainer)
        rewards.close()
        # random weights give no answer: no verdict but 0, and no bonus
        assert logged["rewards/outcome_verifier/mean"] == logged["rewards/length_exploration/mean"] == 0
        assert set(rows["verdict"]) == {"no_answer"}

    def test_a_real_step_moves_the_weights_towards_reward(self, load, taught, tmp_path):
        """Ten steps on the model above: right answers become the rule."""
        model, tokenizer = load()
        rewards = RLSPRewards(exploration=[LengthExploration(C=60)])
        args = config(tmp_path, kind=RLSPGRPOConfig, max_steps=10, learning_rate=3e-3, log_completions=False)
        trainer = RLSPGRPOTrainer(
            model, reward_funcs=rewards, args=args, train_dataset=dataset(), processing_class=tokenizer
        )
        trainer.train()
        rewards.close()
        accuracy = [e["rewards/outcome_verifier/mean"] for e in trainer.state.log_history[:10]]
        assert accuracy[0] < 0.6  # one of three completions known by heart is right
        assert accuracy[-1] > accuracy[0] + 0.2


def save(tokenizer, folder):
    tokenizer.save_pretrained(folder)
    return folder


class TestTrainer:
    def test_default_rewards_and_settings(self, load, tmp_path):
        model, tokenizer = load()
        made = RLSPGRPOTrainer(
            model, args=config(tmp_path, RLSPGRPOConfig), train_dataset=dataset(), processing_class=tokenizer
        )
        assert isinstance(made.reward_funcs, RLSPRewards)
        assert made.reward_func_names == NAMES
        made.reward_funcs.close()

    def test_without_args(self, taught_folder, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        # TRL's default is bf16, and transformers refuses that without a GPU
        monkeypatch.setattr("transformers.training_args.is_torch_bf16_gpu_available", lambda: True)
        tokenizer = AutoTokenizer.from_pretrained(taught_folder, padding_side="left")
        made = RLSPGRPOTrainer(str(taught_folder), train_dataset=dataset(), processing_class=tokenizer)
        assert isinstance(made.args, RLSPGRPOConfig)
        assert made.args.output_dir == f"{taught_folder.name}-RLSP"
        made.reward_funcs.close()

    def test_config_defaults_keep_the_balance(self):
        settings = RLSPGRPOConfig("out", bf16=False, use_cpu=True)
        assert (settings.scale_rewards, settings.loss_type) == ("none", "dr_grpo")
        assert (settings.max_completion_length, settings.log_completions) == (4096, True)

    def test_other_rewards_are_left_alone(self, load, tmp_path):
        model, tokenizer = load()
        made = RLSPGRPOTrainer(
            model,
            reward_funcs=lambda completions, **kwargs: [0.0] * len(completions),
            args=config(tmp_path, scale_rewards="group"),
            train_dataset=dataset(),
            processing_class=tokenizer,
        )
        assert len(made.reward_funcs) == 1

    def test_refuses_what_loses_the_balance(self, load, tmp_path):
        model, tokenizer = load()
        args = config(tmp_path, RLSPGRPOConfig, scale_rewards="group")
        for rewards in (RLSPRewards(), list(RLSPRewards())):
            with pytest.raises(ConfigError, match="scale_rewards='group' makes the exploration bonus the whole signal"):
                RLSPGRPOTrainer(model, rewards, args, dataset(), processing_class=tokenizer)

    def test_trls_default_config_takes_our_defaults(self, load, tmp_path, caplog):
        model, tokenizer = load()
        args = GRPOConfig(str(tmp_path), bf16=False, use_cpu=True, report_to=[], num_completions_to_print=3)
        with caplog.at_level("WARNING", logger="trl_rlsp"):
            made = RLSPGRPOTrainer(model, RLSPRewards(), args, dataset(), None, tokenizer)
        made.reward_funcs.close()
        assert (made.args.scale_rewards, made.args.loss_type) == ("none", "dr_grpo")
        assert (made.args.max_completion_length, made.args.num_completions_to_print) == (4096, 3)
        assert args.scale_rewards == "group"  # the user's own stays as it is
        (line,) = caplog.messages
        for field in ("scale_rewards='none'", "loss_type='dr_grpo'", "max_completion_length=4096"):
            assert field in line
        assert "num_completions_to_print" not in line

    def test_what_the_user_set_stays(self, load, tmp_path):
        model, tokenizer = load()
        args = config(tmp_path, scale_rewards="batch", loss_type="bnpo")
        made = RLSPGRPOTrainer(model, RLSPRewards(), args, dataset(), None, tokenizer)
        made.reward_funcs.close()
        assert (made.args.scale_rewards, made.args.loss_type, made.args.max_completion_length) == ("batch", "bnpo", 12)

    def test_an_environment_with_its_own_reward_is_left_alone(self):
        class Scored:
            def reset(self, **kwargs): ...

            def get_reward(self): ...

        class Plain:
            def reset(self, **kwargs): ...

        assert _has_own_reward(Scored)
        assert _has_own_reward({"one": Plain, "two": Scored})
        assert _has_own_reward(lambda: Scored())
        assert not _has_own_reward(Plain)
        assert not _has_own_reward(None)

    def test_without_a_suite_nothing_is_coerced(self, load, tmp_path):
        model, tokenizer = load()
        made = RLSPGRPOTrainer(model, len, config(tmp_path, scale_rewards="group"), dataset(), None, tokenizer)
        assert made.args.scale_rewards == "group"


class TestHooksOfTRL:
    """What the trainer and the rewards rely on that TRL does not promise."""

    def test_arguments_of_the_trainer(self):
        for ours, theirs in ((RLSPGRPOTrainer, GRPOTrainer), (RLSPSFTTrainer, SFTTrainer)):
            assert inspect.signature(ours.__init__) == inspect.signature(theirs.__init__)
            code = ours.__init__.__code__  # those that are named stand where TRL has them
            named = code.co_varnames[: code.co_argcount]
            assert list(inspect.signature(theirs.__init__).parameters)[: len(named)] == list(named)

    def test_arguments_of_a_reward(self, load, tmp_path):
        """Exactly these arrive, by keyword; a list of rewards is kept as it is, not copied."""
        seen = {}

        class Spy(list):
            pass

        def spy(**kwargs):
            seen.update(kwargs)
            return [float(i) for i in range(len(kwargs["completions"]))]

        spies = Spy([spy])
        model, tokenizer = load()
        trainer = GRPOTrainer(
            model, reward_funcs=spies, args=config(tmp_path), train_dataset=dataset(), processing_class=tokenizer
        )
        trainer.train()
        assert trainer.reward_funcs is spies
        assert set(seen) == {
            "prompts",
            "completions",
            "completion_ids",
            "solution",
            "trainer_state",
            "log_extra",
            "log_metric",
        }
        assert len(seen["prompts"]) == len(seen["completions"]) == len(seen["solution"]) == 32

    def test_model_card(self, load, tmp_path):
        assert (GRPOTrainer._tag_names, GRPOTrainer._name) == (["trl", "grpo"], "GRPO")
        assert set(RLSPGRPOTrainer._paper) == set(GRPOTrainer._paper) == {"title", "id", "citation"}
        model, tokenizer = load()
        made = RLSPGRPOTrainer(
            model, args=config(tmp_path, RLSPGRPOConfig), train_dataset=dataset(), processing_class=tokenizer
        )
        made.create_model_card()
        made.reward_funcs.close()
        card = (tmp_path / "README.md").read_text(encoding="utf-8")
        assert "- rlsp" in card
        assert "trained with RLSP" in card
        assert "https://huggingface.co/papers/2502.06773" in card
        assert "ye2025emergence" in card


@pytest.mark.parametrize(
    ("version", "warned"), [("1.14.2", False), ("1.16.0", False), ("1.17.0.dev0", True), ("2.0", True)]
)
def test_a_newer_trl_is_warned_about(monkeypatch, caplog, version, warned):
    monkeypatch.setattr("importlib.metadata.version", lambda name: version)
    warn_if_untested()
    assert (f"TRL {version} is newer than 1.16" in caplog.text) is warned
