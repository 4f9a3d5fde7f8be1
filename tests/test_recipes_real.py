"""The recipes for real models: every command they show parses, and every stage trains for two steps.

Models have two layers of the recipe's architecture; data come as rows with the columns of the recipe's data sets,
through the same reader; the judge is a server on this machine. Replaced is only what a CPU lacks: vLLM, and sizes.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from trl_rlsp.cli import main, read_yaml
from trl_rlsp.commands.evaluating import read_settings
from trl_rlsp.commands.filter import parse_filter
from trl_rlsp.commands.training import parse_grpo, parse_sft
from trl_rlsp.presets import PRESETS
from trl_rlsp.readers import Table

ROOT = Path(__file__).parent.parent
FOLDERS = sorted({path.parent for path in (ROOT / "recipes").glob("*/grpo.yaml")} - {ROOT / "recipes" / "quickstart"})
STAGES = sorted(path for folder in FOLDERS for path in folder.glob("*.yaml"))
TRAINING = [path for path in STAGES if path.stem in ("sft", "grpo")]
CPU = ["--bf16", "False", "--use_cpu", "True"]
COMMAND = re.compile(r"^(?:(?:accelerate launch .*|sbatch \S+ ?)-m trl_)?rlsp (sft|grpo|eval|filter) (.*)$")


def name_of(path):
    return f"{path.parent.name}/{path.stem}"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Relative paths of the recipes' commands are those of the repository; what is written goes elsewhere."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    before = dict(os.environ)
    yield tmp_path
    for name in set(os.environ) - set(before):
        monkeypatch.delenv(name)


def commands_in(lines):
    """(command, arguments) of each command line of this package among lines of text."""
    found = [COMMAND.match(line.lstrip("# ").strip()) for line in lines]
    return [(match[1], shlex.split(match[2])) for match in found if match]


def parse(command, arguments):
    """Arguments as the command itself parses them."""
    if command in ("sft", "grpo"):
        return {"sft": parse_sft, "grpo": parse_grpo}[command]([*arguments, *CPU])
    return {"eval": read_settings, "filter": parse_filter}[command](arguments)


class TestCommands:
    @pytest.mark.parametrize("path", STAGES, ids=name_of)
    def test_those_of_each_header_parse(self, path):
        found = commands_in(path.read_text(encoding="utf-8").splitlines())
        assert [command for command, _ in found].count(path.stem) >= 2
        for command, arguments in found:
            parse(command, arguments)

    @pytest.mark.parametrize("name", ["context_length", "model_size"])
    def test_those_of_each_ablation_parse(self, name):
        environment = {**os.environ, "RLSP": "echo rlsp", "LAUNCH": "echo rlsp"}
        script = ["bash", f"recipes/ablations/{name}.sh"]
        shown = subprocess.run(script, env=environment, capture_output=True, text=True, check=True, timeout=30).stdout
        found = commands_in(shown.splitlines())
        assert len(found) == {"context_length": 6, "model_size": 12}[name]
        for command, arguments in found:
            parse(command, arguments)

    def test_one_with_a_wrong_field_is_noticed(self):
        ((command, arguments),) = commands_in(["# rlsp grpo --config recipes/qwen2.5-7b-math/grpo.yaml --explore none"])
        with pytest.raises(ValueError, match="--explore"):
            parse(command, arguments)

    @pytest.mark.parametrize("path", STAGES, ids=name_of)
    def test_what_each_header_says(self, path):
        text = path.read_text(encoding="utf-8")
        head = " ".join(line.lstrip("# ") for line in text[: text.index("\n\n")].splitlines())
        for said in ("Hardware: ", "estimated, not measured", "One override, ", "Departs from the paper"):
            assert said in head, said


class TestSettings:
    @pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
    def test_batches_hold_whole_groups(self, folder):
        """On the number of GPUs that the launch command has, and generations end with an update."""
        given = read_yaml(folder / "grpo.yaml")
        processes = 8 if "ddp.yaml" in (folder / "grpo.yaml").read_text() else 1
        accumulated = given["gradient_accumulation_steps"]
        micro_steps = given.get("steps_per_generation", accumulated)
        assert processes * given["per_device_train_batch_size"] * micro_steps % given["num_generations"] == 0
        assert micro_steps % accumulated == 0
        # a checkpoint within a generation would be resumed with another one
        assert given["save_steps"] % (micro_steps // accumulated) == 0

    @pytest.mark.parametrize("path", TRAINING, ids=name_of)
    def test_precision(self, path):
        """4-bit weights compute in the model's type; no dropout, or the KL is not 0 at the first step."""
        given = read_yaml(path)
        assert (given["dtype"], given["bf16"], given["lora_dropout"]) == ("bfloat16", True, 0.0)
        if given.get("load_in_4bit"):
            assert given["use_bnb_nested_quant"]
            assert not given.get("use_vllm")

    @pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
    def test_completions_fit_beside_the_longest_prompt(self, folder):
        given = read_yaml(folder / "grpo.yaml")
        if given.get("use_vllm"):
            assert given["vllm_max_model_length"] >= given["max_completion_length"] + 2048

    @pytest.mark.parametrize(
        "path", sorted((ROOT / "recipes" / "accelerate").glob("*.yaml")), ids=lambda path: path.stem
    )
    def test_accelerate_reads_its_files(self, path):
        from accelerate.commands.config.config_args import load_config_from_file

        read = load_config_from_file(str(path))
        given = yaml.safe_load(path.read_text())
        assert read.num_processes == given["num_processes"]
        assert read.distributed_type.value == given["distributed_type"]
        for command, arguments in commands_in(path.read_text().splitlines()):
            parse(command, arguments)

    def test_the_slurm_script_is_one(self):
        subprocess.run(["bash", "-n", "recipes/accelerate/slurm.sh"], check=True, timeout=30)
        found = re.search(r"slurm.sh (grpo .*)", Path("recipes/accelerate/slurm.sh").read_text())[1]
        parse("grpo", shlex.split(found)[1:])


# Rows of the data sets with the columns that they have on the Hub.
_TESTS = {"input": ["1\n"], "output": ["2\n"]}
ROWS = {
    PRESETS["math"].hub_id: [
        {
            "problem": f"What is ${n} + {n}$?",
            "level": "Level 1",
            "type": "Algebra",
            "solution": f"It is $\\boxed{{{2 * n}}}$.",
        }
        for n in range(1, 9)
    ],
    PRESETS["math-500"].hub_id: [
        {
            "problem": "What is $0 + 0$?",
            "solution": "It is $\\boxed{0}$.",
            "answer": "0",
            "subject": "Algebra",
            "level": 1,
            "unique_id": "test/algebra/1.json",
        }
    ],
    PRESETS["aime"].hub_id: [
        {"ID": f"{year}-1", "Year": year, "Problem Number": 1, "Question": f"Find {n}.", "Answer": str(n), "Part": None}
        for n, year in enumerate([2016, 2017, 2018, 2019, 2020, 2021, 2022, 2023, 2024], start=1)
    ],
    PRESETS["aime-2024"].hub_id: [
        {"id": 1, "problem": "Find 9.", "solution": "9", "answer": "009", "url": "", "year": "2024"}
    ],
    PRESETS["gsm8k"].hub_id: [
        {"question": f"{n} and {n}?", "answer": f"<<{n}+{n}={2 * n}>>{2 * n}\n#### {2 * n}"} for n in range(1, 9)
    ],
    PRESETS["code_contests"].hub_id: [
        {
            "name": f"{n}_A",
            "description": f"Add {n}.",
            "difficulty": 7,
            "public_tests": _TESTS,
            "private_tests": _TESTS,
            "generated_tests": {"input": [], "output": []},
            "solutions": {"language": [3], "solution": ["print(int(input()) + 1)\n"]},
        }
        for n in range(1, 9)
    ],
    "amphora/QwQ-LongCoT-130K": [
        {
            "problem": f"What is {n} + {n}?",
            "qwq": f"Let me think. It is {2 * n}. Wait, yes.\n\n\\[ \\boxed{{{2 * n}}} \\]",
        }
        for n in range(1, 9)
    ]
    + [{"problem": "Tell me a story.", "qwq": "Once upon a time."}],
}


def stand_in(path, *, name=None, split=None, revision=None):
    """Rows of a data set of the Hub, as `read_hub` gives them."""
    return Table(path, ROWS[path], "row", range(1, len(ROWS[path]) + 1))


CHATML = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are Qwen.<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HEADERS = (
    "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    "{{ message['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
FAMILIES = {
    "Qwen/": {
        "special": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        "tokens": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
        "template": CHATML,
    },
    "meta-llama/": {  # no padding token, and a beginning one
        "special": [
            *("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
            "<|finetune_right_pad_id|>",
        ],
        "tokens": {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
        "template": HEADERS,
    },
}


def tiny_tokenizer(family):
    """One token a byte, and the special tokens of the family."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({letter: index for index, letter in enumerate(letters)}, []))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    core.add_special_tokens(family["special"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, clean_up_tokenization_spaces=False, **family["tokens"])
    tokenizer.chat_template = family["template"]
    return tokenizer


def save_tiny(name, folder):
    """A model of the same architecture as the one of that name, two layers of width 32, with its tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    family = next(family for prefix, family in FAMILIES.items() if name.startswith(prefix))
    tokenizer = tiny_tokenizer(family)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"num_key_value_heads": 2, "max_position_embeddings": 2048, "vocab_size": len(tokenizer)}
    ends = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id, "pad_token_id": None}
    kind = (Qwen2Config, Qwen2ForCausalLM) if name.startswith("Qwen/") else (LlamaConfig, LlamaForCausalLM)
    torch.manual_seed(0)
    kind[1](kind[0](**sizes, **ends)).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def start_of(folder):
    """The hub id of the model that a recipe begins with."""
    first = folder / ("sft.yaml" if (folder / "sft.yaml").exists() else "grpo.yaml")
    return read_yaml(first)["model_name_or_path"]


SMALL = ["--max_steps", "2", "--gradient_accumulation_steps", "1", "--use_cpu", "True", "--logging_steps", "1"]
SMALL_GRPO = ["--use_vllm", "False", "--max_completion_length", "8", "--per_device_train_batch_size", "8"]
SMALL_GRPO += ["--steps_per_generation", "1", "--verifier_workers", "1"]
SMALL_EVAL = ["--engine", "transformers", "--max_new_tokens", "4", "--num_samples", "1", "--verifier_workers", "1"]


@pytest.fixture
def stand_ins(monkeypatch):
    """Data sets by their hub ids, and a judge."""
    monkeypatch.setattr("trl_rlsp.data.read_hub", stand_in)
    monkeypatch.syspath_prepend(Path(__file__).parent / "rewards")
    from judge_server import JudgeServer

    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with JudgeServer() as judge:
        yield judge


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_trains(folder, place, stand_ins):
    """SFT if there is one, RL from what it leaves, and the evaluation of that; 4-bit where the recipe is."""
    model = save_tiny(start_of(folder), place / "model")
    for stage in ("sft", "grpo"):
        path = folder / f"{stage}.yaml"
        if not path.exists():
            continue
        given, out = read_yaml(path), place / stage
        more = ["--model_name_or_path", str(model), "--output_dir", str(out), *(SMALL_GRPO if stage == "grpo" else [])]
        if "judge" in given.get("exploration", ""):
            more += ["--judge_base_url", stand_ins.url]
        assert main([stage, "--config", str(path), *SMALL, *more]) == 0
        done = json.loads((out / "stage.json").read_text())
        assert done["steps"] == 2
        adapter = json.loads((out / "adapter_config.json").read_text())
        assert adapter["base_model_name_or_path"] == str(place / "model")
        assert adapter["r"] == given["lora_r"]
        model = out
    log = json.loads((place / "grpo" / "trainer_state.json").read_text())["log_history"]
    assert log[0]["rewards/outcome_verifier/mean"] == 0  # random weights
    if read_yaml(folder / "grpo.yaml")["beta"]:
        assert log[0]["kl"] == 0
    evaluated = ["--model_name_or_path", str(model), "--output_dir", str(place / "eval"), *SMALL_EVAL]
    assert main(["eval", "--config", str(folder / "eval.yaml"), *evaluated]) == 0
    assert json.loads((place / "eval" / "metrics.json").read_text())["pass_at_1"]["mean"] == 0


@pytest.mark.slow
def test_four_bit_where_the_recipe_is(place, stand_ins):
    from trl_rlsp.commands.training import model_arguments, tokenizer_of
    from trl_rlsp.trainers.grpo import RLSPGRPOTrainer

    path = ROOT / "recipes" / "qwen2.5-32b-aime" / "grpo.yaml"
    model = save_tiny(start_of(path.parent), place / "model")
    arguments = ["--config", str(path), "--model_name_or_path", str(model), *SMALL, *SMALL_GRPO]
    data, rewards, training, named = parse_grpo(arguments)
    problems = data.load()
    assert len(problems) == 8  # the one of 2024 is left out
    trainer = RLSPGRPOTrainer(
        reward_funcs=rewards,
        args=training,
        train_dataset=problems,
        processing_class=tokenizer_of(named, padding_side="left"),
        **model_arguments(named, training),
    )
    rewards.close()
    import torch

    quantised = [m for m in trainer.model.modules() if type(m).__name__ == "Params4bit" or hasattr(m, "quant_state")]
    assert len(quantised) == 2 * 7
    assert {layer.compute_dtype for layer in quantised} == {torch.bfloat16}
    assert {layer.weight.quant_type for layer in quantised} == {"nf4"}
    assert {p.dtype for p in trainer.model.parameters() if p.requires_grad} == {torch.float32}
