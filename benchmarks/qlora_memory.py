"""Plan against peak: GRPO steps of a model at random weights straight in 4-bit, on one CUDA GPU.

    python benchmarks/qlora_memory.py [--model Qwen/Qwen2.5-32B-Instruct] [--steps 2] [--completion 1024]
    python benchmarks/qlora_memory.py --device cpu --model FOLDER      # takes the steps, measures nothing

The model is built block by block: a block's weights are drawn on the GPU in bfloat16 and packed into 4 bits before the
next one exists, so no checkpoint and no memory for the unpacked model are needed. Completions have their full length,
because a random model hardly ever draws the one token of 150,000 that ends them. Prints one JSON object: the card, the
plan by part, torch's peak of the rollouts and of the updates, and the tokens per second that `rlsp plan` takes. On a
machine without a CUDA GPU it says so and ends with status 1.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
import time
from typing import Any

import torch
from torch import nn

from trl_rlsp.planning import GIB, Architecture, Settings, layout
from trl_rlsp.stages import load_config

DEVICE = "cuda"
PROMPT = 502  # 500 words between <user> and <assistant>


def four_bit_model(config: Any, device: str = DEVICE) -> nn.Module:
    """A causal language model with random weights, every linear layer but the output layer in 4-bit NF4.

    Args:
        config: the model's configuration; it is left as it is.
        device: where it is built.
    """
    from bitsandbytes.nn import Linear4bit, Params4bit
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig
    from transformers.quantizers import AutoHfQuantizer

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=torch.bfloat16)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and module is not model.get_output_embeddings():
            packed = Linear4bit(
                module.in_features,
                module.out_features,
                bias=module.bias is not None,
                compute_dtype=torch.bfloat16,
                compress_statistics=False,
                quant_type="nf4",
                device="meta",
            )
            weight = torch.empty(module.weight.shape, dtype=torch.bfloat16, device=device).normal_(std=0.02)
            packed.weight = Params4bit(
                weight, requires_grad=False, compress_statistics=False, quant_type="nf4", module=packed
            ).to(device)
            if module.bias is not None:
                packed.bias = nn.Parameter(torch.zeros(module.out_features, dtype=torch.bfloat16, device=device))
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, packed)
    fill_rest(model, device)
    model.is_loaded_in_4bit = model.is_quantized = True
    settings = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)
    model.config.quantization_config = settings
    model.hf_quantizer = AutoHfQuantizer.from_config(settings)
    return model


def fill_rest(model: nn.Module, device: str) -> None:
    """Give numbers to what is still on the meta device: embeddings, norms, output layer, rotary tables."""
    with torch.device(device):
        model.base_model.rotary_emb = type(model.base_model.rotary_emb)(model.config)
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.is_meta:
                values = torch.empty(parameter.shape, dtype=torch.bfloat16, device=device)
                values = values.fill_(1.0) if parameter.dim() == 1 else values.normal_(std=0.02)
                setattr(module, name, nn.Parameter(values, requires_grad=False))
    model.tie_weights()


class Peaks:
    """Torch's peak memory of rollouts and updates, in bytes, 0 where there is no CUDA GPU; and their seconds."""

    def __init__(self) -> None:
        self.rollout, self.training = 0, 0
        self.seconds: dict[str, list[float]] = {"rollout": [], "update": []}  # of each step

    @staticmethod
    def clock() -> float:
        """Seconds, once the GPU has done what it was given."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    def rates(self, given: argparse.Namespace, prompt: int) -> dict[str, list[float]]:
        """Tokens per second, as `rlsp plan` takes them; the first of several steps warms up and does not count."""
        tokens = {"rollout": given.group * given.completion, "update": given.group * (prompt + given.completion)}
        counted = {name: seconds[len(seconds) > 1 :] for name, seconds in self.seconds.items()}
        return {name: [round(tokens[name] / one, 1) for one in seconds] for name, seconds in counted.items()}

    @staticmethod
    def anew() -> int:
        """The peak so far, after which it is counted from now."""
        if not torch.cuda.is_available():
            return 0
        peak = torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        return peak

    def around(self, trainer: Any) -> None:
        """Take the peak and the time of every rollout and of every update of a trainer."""
        sample, backward, step = (
            trainer._generate_and_score_completions, trainer.accelerator.backward, trainer.training_step,
        )  # fmt: skip

        def rollout(*args: Any, **kwargs: Any) -> Any:
            self.anew()
            started = self.clock()
            found = sample(*args, **kwargs)
            self.seconds["rollout"].append(self.clock() - started)
            self.seconds["update"].append(-self.seconds["rollout"][-1])  # it happens within a micro-batch of the update
            self.rollout = max(self.rollout, self.anew())
            return found

        def micro_batch(*args: Any, **kwargs: Any) -> Any:
            started = self.clock()
            found = step(*args, **kwargs)
            self.seconds["update"][-1] += self.clock() - started
            return found

        def done(*args: Any, **kwargs: Any) -> None:
            backward(*args, **kwargs)
            self.training = max(self.training, torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0)

        trainer._generate_and_score_completions = rollout
        trainer.accelerator.backward = done
        trainer.training_step = micro_batch


def spread(completions: list[Any], **kwargs: Any) -> list[float]:
    """Rewards that differ within a group, so that there is a gradient."""
    return [float(index % 2) for index in range(len(completions))]


def measure(given: argparse.Namespace, device: str = DEVICE) -> Peaks:
    """Take GRPO steps and return the peaks."""
    from datasets import Dataset
    from peft import LoraConfig

    from trl_rlsp.countdown import build_tokenizer
    from trl_rlsp.trainers import RLSPGRPOConfig, RLSPGRPOTrainer

    model = four_bit_model(load_config(given.model), device)
    with tempfile.TemporaryDirectory() as folder:
        training = RLSPGRPOConfig(
            output_dir=folder,
            max_steps=given.steps,
            per_device_train_batch_size=given.micro_batch,
            gradient_accumulation_steps=given.group // given.micro_batch,
            num_generations=given.group,
            max_completion_length=given.completion,
            gradient_checkpointing=True,
            bf16=True,
            use_cpu=device == "cpu",
            beta=0.0,
            report_to="none",
            save_strategy="no",
            log_completions=False,
        )
        trainer = RLSPGRPOTrainer(
            model=model,
            reward_funcs=spread,
            args=training,
            train_dataset=Dataset.from_list([{"prompt": [{"role": "user", "content": "1 " * 500}]}] * 8),
            processing_class=build_tokenizer(),
            peft_config=LoraConfig(r=given.rank, target_modules="all-linear", task_type="CAUSAL_LM"),
        )
        peaks = Peaks()
        peaks.around(trainer)
        trainer.train()
    return peaks


def planned(given: argparse.Namespace) -> Any:
    """The plan of the same settings on one GPU."""
    settings = Settings(
        autocast="bfloat16",
        bits=4,
        rank=given.rank,
        targets="all-linear",
        dropout=0.0,
        micro_batch=given.micro_batch,
        accumulation=given.group // given.micro_batch,
        rollouts=given.group,
        shared=given.group,
        prompt=PROMPT,
        completion=given.completion,
    )
    return layout(Architecture.of(load_config(given.model)), settings, 1, "ddp")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="Qwen/Qwen2.5-32B-Instruct")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--completion", type=int, default=1024)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--micro_batch", type=int, default=1)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--device", default=DEVICE, choices=["cuda", "cpu"])
    return parser.parse_args(arguments)


def main() -> int:
    """Measure, and print plan and peaks."""
    given = parse()
    if given.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA GPU: nothing was measured", file=sys.stderr)
        return 1
    plan, peaks = planned(given), measure(given, given.device)
    measured = {"rollout": peaks.rollout, "training": peaks.training}
    rows = {
        "card": torch.cuda.get_device_name() if given.device == "cuda" else None,
        "settings": vars(given),
        "plan_gib": {name: round(value / GIB, 3) for name, value in vars(plan).items() if isinstance(value, int)},
        "tokens_per_second": peaks.rates(given, PROMPT),
        **{
            f"{name}_gib": {"plan": round(getattr(plan, name) / GIB, 2), "peak": round(peak / GIB, 2) if peak else None}
            for name, peak in measured.items()
        },
    }
    print(json.dumps(rows, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
