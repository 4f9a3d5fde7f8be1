"""SFT on real tiny models: labels exactly, and no trace cut in silence."""

from __future__ import annotations

import inspect
import logging

import pytest
from datasets import Dataset, IterableDataset
from tiny_grpo import ON_CPU
from trl import SFTTrainer

from trl_rlsp import RLSPSFTConfig, RLSPSFTTrainer
from trl_rlsp.countdown import build_model
from trl_rlsp.errors import ConfigError
from trl_rlsp.trainers.sft import CutTraces, count_cut

USER = {"role": "user", "content": "8 1 9 : 72"}  # with <user> and <assistant>: 7 tokens


def messages_rows(*answers):
    return Dataset.from_list([{"messages": [USER, {"role": "assistant", "content": answer}]} for answer in answers])


# assistant turns of 3, 6 and 9 tokens and <eos>; whole rows of 11, 14 and 17 tokens
ANSWERS = ("8 * 9", "8 * 9 = 72 yes", "8 * 9 = 72 yes \\boxed{ 72 }")
ROWS = [11, 14, 17]


def config(folder, **settings):
    return RLSPSFTConfig(
        output_dir=str(folder),
        **{
            "max_length": 64,
            "max_steps": 2,
            "per_device_train_batch_size": 2,
            "learning_rate": 1e-2,
            **ON_CPU,
            **settings,
        },
    )


def trainer(tokenizer, dataset, args, **more):
    return RLSPSFTTrainer(
        build_model(hidden_size=32, layers=2), args=args, train_dataset=dataset, processing_class=tokenizer, **more
    )


def learned(tokenizer, row):
    """(text that carries loss, text that does not)."""
    pairs = list(zip(row["input_ids"], row["labels"], strict=True))
    assert all(label in (-100, token) for token, label in pairs)
    return (
        tokenizer.decode([token for token, label in pairs if label != -100]),
        tokenizer.decode([token for token, label in pairs if label == -100]),
    )


class TestLabels:
    def test_messages_with_assistant_only_loss(self, tokenizer, tmp_path):
        made = trainer(tokenizer, messages_rows(*ANSWERS), config(tmp_path, assistant_only_loss=True))
        assert [len(row["input_ids"]) for row in made.train_dataset] == ROWS
        for row, answer in zip(made.train_dataset, ANSWERS, strict=True):
            assert learned(tokenizer, row) == (f"{answer} <eos>", "<user> 8 1 9 : 72 <assistant>")
        made.train()
        assert all("loss" in entry for entry in made.state.log_history[:2])

    def test_messages_with_the_loss_on_everything(self, tokenizer, tmp_path):
        made = trainer(tokenizer, messages_rows(*ANSWERS), config(tmp_path))
        for row in made.train_dataset:
            assert row["labels"] == row["input_ids"]

    def test_prompt_and_completion_as_messages(self, tokenizer, tmp_path):
        rows = Dataset.from_list(
            [{"prompt": [USER], "completion": [{"role": "assistant", "content": answer}]} for answer in ANSWERS]
        )
        made = trainer(tokenizer, rows, config(tmp_path))
        for row, answer in zip(made.train_dataset, ANSWERS, strict=True):
            assert learned(tokenizer, row) == (f"{answer} <eos>", "<user> 8 1 9 : 72 <assistant>")

    def test_prompt_and_completion_as_text(self, tokenizer, tmp_path):
        rows = Dataset.from_list([{"prompt": "8 1 9 : 72 ", "completion": answer + " "} for answer in ANSWERS])
        made = trainer(tokenizer, rows, config(tmp_path))
        for row, answer in zip(made.train_dataset, ANSWERS, strict=True):
            assert learned(tokenizer, row) == (f"{answer} <eos>", "8 1 9 : 72")
        made.train()
        assert made.state.global_step == 2

    def test_a_cut_row_keeps_its_beginning(self, tokenizer, tmp_path):
        args = config(tmp_path, max_length=12, assistant_only_loss=True, max_cut_share=1.0)
        made = trainer(tokenizer, messages_rows(*ANSWERS), args)
        # 7 tokens of prompt leave 5 for the answer
        assert [learned(tokenizer, row)[0] for row in made.train_dataset] == [
            "8 * 9 <eos>",
            "8 * 9 = 72",
            "8 * 9 = 72",
        ]

    def test_same_rows_as_trls_own_trainer(self, tokenizer, tmp_path):
        args = config(tmp_path, max_length=12, assistant_only_loss=True, shuffle_dataset=True, max_cut_share=1.0)
        rows = messages_rows(*ANSWERS * 5)
        ours = trainer(tokenizer, rows, args).train_dataset
        theirs = SFTTrainer(
            build_model(hidden_size=32, layers=2), args=args, train_dataset=rows, processing_class=tokenizer
        ).train_dataset
        assert ours["input_ids"] == theirs["input_ids"]
        assert ours["labels"] == theirs["labels"]


class TestCutTraces:
    @pytest.mark.parametrize(
        ("max_length", "cut"),
        [(64, 0), (17, 0), (16, 1), (14, 1), (13, 2), (11, 2)],  # rows of 11, 14 and 17 tokens
    )
    def test_counts(self, tokenizer, tmp_path, max_length, cut):
        args = config(tmp_path, max_length=max_length, max_cut_share=1.0)
        made = trainer(tokenizer, messages_rows(*ANSWERS), args)
        assert list(made.cut_traces) == [CutTraces("train", total=3, cut=cut, longest=17)]
        assert made.cut_traces[0].share == cut / 3

    def test_says_so_loudly(self, tokenizer, tmp_path, caplog):
        with caplog.at_level(logging.WARNING, logger="trl_rlsp"):
            trainer(tokenizer, messages_rows(*ANSWERS), config(tmp_path, max_length=15))
        assert caplog.messages == [
            "1 of 3 traces of `train` (33.3%) are longer than max_length=15 and LOSE THEIR END, the answer included; "
            "the longest has 17 tokens. Set max_length=17, or leave the long traces out."
        ]

    def test_says_nothing_where_nothing_is_cut(self, tokenizer, tmp_path, caplog):
        with caplog.at_level(logging.WARNING, logger="trl_rlsp"):
            trainer(tokenizer, messages_rows(*ANSWERS), config(tmp_path, max_length=17))
        assert caplog.messages == []

    def test_refuses_above_max_cut_share(self, tokenizer, tmp_path):
        args = config(tmp_path, max_length=12, max_cut_share=0.66)  # 2 of 3 are cut
        with pytest.raises(ConfigError, match=r"2 of 3 traces of `train` \(66\.7%\).*More than max_cut_share=0\.66"):
            trainer(tokenizer, messages_rows(*ANSWERS), args)

    def test_exactly_max_cut_share_is_allowed(self, tokenizer, tmp_path):
        args = config(tmp_path, max_length=14, max_cut_share=1 / 3)
        assert trainer(tokenizer, messages_rows(*ANSWERS), args).cut_traces[0].cut == 1

    def test_evaluation_sets_are_counted_and_not_refused(self, tokenizer, tmp_path):
        args = config(tmp_path, max_length=12, eval_strategy="steps", eval_steps=1)
        made = trainer(
            tokenizer,
            messages_rows(*ANSWERS[:1]),
            args,
            eval_dataset={"hard": messages_rows(*ANSWERS[1:]), "easy": messages_rows(*ANSWERS[:1])},
        )
        assert list(made.cut_traces) == [
            CutTraces("train", 1, 0, 11),
            CutTraces("hard", 2, 2, 17),
            CutTraces("easy", 1, 0, 11),
        ]

    def test_packed_rows_are_counted_before_packing(self, tokenizer, tmp_path):
        args = config(tmp_path, max_length=14, packing=True, max_cut_share=1.0)
        made = trainer(tokenizer, messages_rows(*ANSWERS), args)
        assert list(made.cut_traces) == [CutTraces("train", 3, 1, 17)]
        assert all(len(row["input_ids"]) <= 14 for row in made.train_dataset)

    @pytest.mark.parametrize("strategy", ["bfd_split", "wrapped"])
    def test_strategies_that_split_long_traces_cut_none(self, tokenizer, tmp_path, caplog, strategy):
        args = config(tmp_path, max_length=14, packing=True, packing_strategy=strategy, max_cut_share=0.0)
        made = trainer(tokenizer, messages_rows(*ANSWERS), args)
        assert made.cut_traces == ()
        assert "LOSE" not in caplog.text
        assert sum(len(row["input_ids"]) for row in made.train_dataset) == sum(ROWS)

    def test_without_args(self, tokenizer, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("transformers.training_args.is_torch_bf16_gpu_available", lambda: True)
        made = trainer(tokenizer, messages_rows(*ANSWERS), None)
        assert isinstance(made.args, RLSPSFTConfig)
        assert (made.args.max_length, made.args.output_dir) == (8192, "model-SFT")

    def test_rows_already_tokenized(self, tokenizer, tmp_path):
        rows = Dataset.from_list([{"input_ids": [20] * 9, "labels": [20] * 9}, {"input_ids": [20], "labels": [20]}])
        made = trainer(tokenizer, rows, config(tmp_path, max_length=8))
        assert list(made.cut_traces) == [CutTraces("train", 2, 1, 9)]

    def test_a_formatting_function(self, tokenizer, tmp_path):
        rows = Dataset.from_list([{"a": "8 * 9", "b": "= 72"}])
        made = trainer(tokenizer, rows, config(tmp_path), formatting_func=lambda row: f"{row['a']} {row['b']} ")
        assert list(made.cut_traces) == [CutTraces("train", 1, 0, 6)]  # 8 * 9 = 72 <eos>

    def test_without_a_limit_nothing_is_counted(self, tokenizer, tmp_path):
        assert list(trainer(tokenizer, messages_rows(*ANSWERS), config(tmp_path, max_length=None)).cut_traces) == []

    def test_a_stream_is_not_counted(self, tokenizer, tmp_path):
        rows = IterableDataset.from_generator(lambda: iter(messages_rows(*ANSWERS)))
        assert list(trainer(tokenizer, rows, config(tmp_path)).cut_traces) == []

    def test_no_rows(self):
        found = count_cut({"input_ids": []}, 5, "train")
        assert (found, found.share) == (CutTraces("train", 0, 0, 0), 0.0)


class TestConfig:
    def test_defaults(self):
        settings = RLSPSFTConfig("out", bf16=False, use_cpu=True)
        assert (settings.max_length, settings.max_cut_share) == (8192, 0.5)

    @pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
    def test_a_share_is_a_share(self, share):
        with pytest.raises(ConfigError, match=f"max_cut_share is a share from 0 to 1, got {share}"):
            RLSPSFTConfig("out", bf16=False, use_cpu=True, max_cut_share=share)


class TestHooksOfTRL:
    """The underscore names of TRL that the trainer relies on."""

    def test_prepare_dataset(self):
        expected = ["self", "dataset", "processing_class", "args", "packing", "formatting_func", "dataset_name"]
        assert list(inspect.signature(SFTTrainer._prepare_dataset).parameters) == expected
        assert list(inspect.signature(RLSPSFTTrainer._prepare_dataset).parameters) == expected

    def test_model_card(self, tokenizer, tmp_path):
        assert (SFTTrainer._tag_names, SFTTrainer._name) == (["trl", "sft"], "SFT")
        made = trainer(tokenizer, messages_rows(*ANSWERS), config(tmp_path))
        made.create_model_card()
        card = (tmp_path / "README.md").read_text(encoding="utf-8")
        assert "- rlsp" in card
        assert "RLSP SFT" in card
