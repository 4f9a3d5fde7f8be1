"""What a step of GRPO costs in TRL's trainer and in this package's, piece by piece, and the memory of each.

    python benchmarks/step_time.py [--model runs/quickstart/sft] [--lengths own lognormal] [--rounds 5]
    python benchmarks/step_time.py --device cuda --model qwen2.5-0.5b --lengths lognormal --batch 64

Every run starts from the same weights and seed with the same rewards; sizes and problems are the quickstart's, and the
order of the trainers turns from round to round. `own` completions are as long as the model makes them; `lognormal` ones
have forced lengths, the longest five times the mean. Times are of the training process, without the workers of the
verifier. Prints a table a distribution, then one JSON
object.
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import LogitsProcessor, LogitsProcessorList, Qwen2Config, Qwen2ForCausalLM, TrainerCallback
from trl import GRPOTrainer

from trl_rlsp import LengthExploration, OutcomeVerifier, RLSPGRPOConfig, RLSPGRPOTrainer, RLSPRewards, load_problems
from trl_rlsp.generation import load_model
from trl_rlsp.stages import read_yaml

RECIPE = Path(__file__).parents[1] / "recipes" / "quickstart"
OFF = {"rollout": "trl", "trim_updates": False, "skip_zero_advantage": False}
TRAINERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "TRL": (GRPOTrainer, OFF),
    "ended completions leave": (RLSPGRPOTrainer, {**OFF, "rollout": "fast"}),
    "updates in parts": (RLSPGRPOTrainer, {**OFF, "trim_updates": True}),
    "both": (RLSPGRPOTrainer, {**OFF, "rollout": "fast", "trim_updates": True}),
    "RLSPGRPOTrainer": (RLSPGRPOTrainer, {}),
}


class Cost(NamedTuple):
    """What some steps took: seconds of the processor and of the clock, of rollouts by the processor; tokens a row."""

    processor: float
    wall: float
    rollouts: float
    tokens: float


class Clock(TrainerCallback):
    """(Clock, processor) before the first step and after the last one."""

    begin = end = (0.0, 0.0)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 0:
            self.begin = time.perf_counter(), time.process_time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.end = time.perf_counter(), time.process_time()


class ForcedLength(LogitsProcessor):
    """The first token is drawn evenly and says how long the completion is: quantiles of a lognormal distribution."""

    row_by_row = True

    def __init__(self, prompt: int, end: int, words: int, longest: int) -> None:
        self.prompt, self.end, self.words = prompt, end, words
        spread = torch.distributions.Normal(0, 1).icdf((torch.arange(words) + 0.5) / words)
        lengths = longest / 5 * torch.exp(0.8 * spread - 0.32)
        self.lengths = lengths.round().long().clamp(2, longest)

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        done = ids.shape[1] - self.prompt
        scores = scores.clone()
        scores[:, self.words :] = -torch.inf
        if done == 0:
            scores[:, : self.words] = 0
            scores[:, self.end] = -torch.inf
            return scores
        last = self.lengths.to(ids.device)[ids[:, self.prompt].clamp(max=self.words - 1)] <= done + 1
        scores[:, self.end] = -torch.inf
        scores[last] = -torch.inf
        scores[last, self.end] = 0
        return scores


def force_lengths(model: Any, end: int, words: int, longest: int) -> None:
    """Make every completion of the model as long as its first token says."""
    prepare = model._get_logits_processor

    def with_length(*args: Any, input_ids_seq_length: int, **kwargs: Any) -> LogitsProcessorList:
        found = prepare(*args, input_ids_seq_length=input_ids_seq_length, **kwargs)
        return LogitsProcessorList([*found, ForcedLength(input_ids_seq_length, end, words, longest)])

    model._get_logits_processor = with_length


def start_of(options: argparse.Namespace) -> tuple[Any, Any]:
    """The model that every run starts from, and its tokenizer."""
    if options.model != "qwen2.5-0.5b":
        return load_model(options.model, dtype=torch.float32)
    _, tokenizer = load_model(str(RECIPE / "base"))
    torch.manual_seed(0)
    shape = {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14}
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = Qwen2Config(vocab_size=151936, num_key_value_heads=2, tie_word_embeddings=True, **shape, **ends)
    return Qwen2ForCausalLM(config).to(torch.bfloat16), tokenizer


def cost_of(name: str, lengths: str, options: argparse.Namespace, start: tuple[Any, Any], dataset: Any) -> Cost:
    """What `options.steps` training steps of the trainer `name` take."""
    recipe = read_yaml(RECIPE / "grpo.yaml")
    trainer_class, settings = TRAINERS[name]
    model, tokenizer = copy.deepcopy(start[0]).train(), start[1]
    longest = options.longest or recipe["max_completion_length"]
    if lengths == "lognormal":
        force_lengths(model, tokenizer.eos_token_id, len(tokenizer), longest)
    with tempfile.TemporaryDirectory() as folder, OutcomeVerifier() as verifier:
        args = RLSPGRPOConfig(
            output_dir=folder,
            max_steps=options.steps,
            per_device_train_batch_size=options.batch or recipe["per_device_train_batch_size"],
            steps_per_generation=recipe["steps_per_generation"],
            num_generations=recipe["num_generations"],
            max_completion_length=longest,
            learning_rate=recipe["learning_rate"],
            top_k=0,
            bf16=options.device == "cuda",
            use_cpu=options.device == "cpu",
            gradient_checkpointing=False,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            log_completions=False,
            seed=0,
            **settings,
        )
        rewards = RLSPRewards(verifier, [LengthExploration(C=60, ngram=8)])
        row = dataset[0]  # workers are warm before the clock starts
        verifier(completions=[f"\\boxed{{{row['solution']}}}"], solution=[row["solution"]], task=[row["task"]])
        trainer = trainer_class(
            model=model, reward_funcs=rewards, args=args, train_dataset=dataset, processing_class=tokenizer
        )
        rollouts, generate = [0.0], trainer._generate_single_turn

        def timed(*given: Any, **more: Any) -> Any:
            before = time.process_time()
            found = generate(*given, **more)
            rollouts[0] += time.process_time() - before
            return found

        trainer._generate_single_turn = timed
        clock = Clock()
        trainer.add_callback(clock)
        trainer.train()
        wall, processor = (end - begin for begin, end in zip(clock.begin, clock.end, strict=True))
        tokens = trainer.state.log_history[0].get("completions/mean_length", float("nan"))
        return Cost(processor, wall, rollouts[0], tokens)


def memory_of(name: str, lengths: str, options: argparse.Namespace) -> float:
    """Most memory, in GiB, that the steps add to what the process holds before them; on a GPU, most held there."""
    torch.set_num_threads(options.threads)
    start, dataset = start_of(options), problems()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew: a process inherits that of its parent
    before = peak_of_process()
    cost_of(name, lengths, options, start, dataset)
    if options.device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return peak_of_process() - before


def peak_of_process() -> float:
    """Most memory, in GiB, that this process has held (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20


def problems() -> Any:
    """The quickstart's problems."""
    return load_problems(read_yaml(RECIPE / "grpo.yaml")["dataset"], prompt_style="compact", unique=True)


def measure(lengths: str, options: argparse.Namespace, start: tuple[Any, Any], dataset: Any) -> dict[str, Any]:
    """Medians of each trainer over the rounds, and of its ratio to TRL's within a round; prints the table."""
    names = list(TRAINERS)
    rounds: list[dict[str, Cost]] = []
    for number in range(options.rounds):
        order = names[number % len(names) :] + names[: number % len(names)]
        rounds.append({})
        for name in order:
            rounds[-1][name] = cost_of(name, lengths, options, start, dataset)
            print(f"round {number}, {name}: {rounds[-1][name]}", file=sys.stderr, flush=True)
    found: dict[str, Any] = {}
    print(f"\n{lengths}, {options.device}, {options.steps} steps:")
    print(f"{'':26}processor  TRL's times  wall      TRL's times  rollouts  rest     tokens  memory")
    for name in names:
        costs = [each[name] for each in rounds]
        processor, wall, rollouts, tokens = (statistics.median(values) for values in zip(*costs, strict=True))
        faster = statistics.median(each["TRL"].processor / each[name].processor for each in rounds)
        sooner = statistics.median(each["TRL"].wall / each[name].wall for each in rounds)
        memory: float | None = None
        if options.memory:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                memory = pool.submit(memory_of, name, lengths, options).result()
        held = "" if memory is None else f"{memory:5.2f} GiB"
        print(
            f"{name:26}{processor:7.2f} s  {faster:8.2f}     {wall:7.2f} s {sooner:8.2f}     "
            f"{rollouts:6.2f} s  {processor - rollouts:6.2f} s {tokens:6.1f}  {held}",
            flush=True,
        )
        found[name] = {
            "processor": processor,
            "wall": wall,
            "rollouts": rollouts,
            "tokens": tokens,
            "processor_times": faster,
            "wall_times": sooner,
            "memory_gib": memory,
        }
    return found


def main() -> None:
    """Measure each distribution of lengths and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="runs/quickstart/sft", help="a folder, or qwen2.5-0.5b with random weights")
    parser.add_argument("--lengths", nargs="+", default=["own", "lognormal"], choices=["own", "lognormal"])
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int, help="rows of a micro-batch; default: the quickstart's")
    parser.add_argument("--longest", type=int, help="longest completion in tokens; default: the quickstart's")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", action="store_true", help="measure memory too, in a process for each trainer")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    start, dataset = start_of(options), problems()
    cost_of("RLSPGRPOTrainer", options.lengths[0], options, start, dataset)  # warm
    print(json.dumps({lengths: measure(lengths, options, start, dataset) for lengths in options.lengths}))


if __name__ == "__main__":
    main()
