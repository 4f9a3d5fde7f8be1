"""What only a GPU can show, part by part: plan against peak, milliseconds a token, the fast step, one size up.

    python scripts/gpu_proof.py                    # make gpu-proof: one CUDA GPU, no network; 9 minutes a part at most
    python scripts/gpu_proof.py --only memory-32b  # one part
    python scripts/gpu_proof.py --tiny             # every part on the CPU at tiny size, to see that it runs

Each part is a script of this repository in a process of its own. Its result goes to FOLDER/NAME.json; a part that is
done is skipped, one that failed or met its limit is taken up again by the same command. The page is written after every
part.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "gpu_proof.md"
LIMIT = 540  # seconds of a part
MODELS = {
    "0.5b": "Qwen/Qwen2.5-0.5B-Instruct",
    "8b": "meta-llama/Llama-3.1-8B-Instruct",
    "32b": "Qwen/Qwen2.5-32B-Instruct",
}
ARMS = "sft,verifier_only,bounded_adaptive"
NOT_RUN = "**Not run on a GPU.**"


@dataclass(frozen=True)
class Part:
    """A script, its arguments on a GPU, and those at tiny size."""

    name: str
    script: str
    arguments: tuple[str, ...] = ()
    tiny: tuple[str, ...] = ()


def parts(work: Path) -> list[Part]:
    """All parts in the order that they run in; `work` is where they may leave files of their own."""
    model = str(work / "tiny_model")
    small = ("--device", "cpu", "--model", model, "--completion", "8", "--group", "4", "--rank", "4", "--steps", "1")
    drawn = ("--batches", "2", "4", "--model", model, "--max_new_tokens", "8")
    step = ("--model", str(ROOT / "recipes/quickstart/base"), "--steps", "1", "--rounds", "1", "--longest", "16")
    eight = ("--batches", "8", "32", "64", "--device", "cuda", "--max_new_tokens", "128")
    runs = ("--arms", ARMS, "--output", str(work / "countdown"))
    gpu = str(ROOT / "experiments/countdown/gpu.yaml")
    return [
        Part("kernels", "scripts/gpu_proof.py", ("--kernels",), ("--kernels",)),
        *(
            Part(f"memory-{size}", "benchmarks/qlora_memory.py", ("--model", name), small)
            for size, name in MODELS.items()
        ),
        Part("decoding-0.5b", "benchmarks/decoding.py", (*eight, "--model", MODELS["0.5b"]), drawn),
        Part("decoding-8b", "benchmarks/decoding.py", (*eight, "--model", MODELS["8b"], "--four_bit"), drawn),
        Part("decoding-32b", "benchmarks/decoding.py", (*eight, "--model", MODELS["32b"], "--four_bit"), drawn),
        Part(
            "step",
            "benchmarks/step_time.py",
            ("--device", "cuda", "--model", "qwen2.5-0.5b", "--lengths", "lognormal", "--batch", "64", "--rounds", "3"),
            (*step, "--lengths", "lognormal", "--batch", "8"),
        ),
        Part(
            "countdown",
            "experiments/countdown/run.py",
            ("--config", gpu, *runs, "--seeds", "0", "--workers", "2"),
            ("--config", str(work / "experiments/countdown/grid.yaml"), *runs, "--seeds", "0"),
        ),
    ]


def kernels() -> dict[str, Any]:
    """Versions, the card, and what the tests that need it say."""
    import importlib.metadata

    import torch

    names = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "datasets", "vllm")
    versions = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--confcutdir", "tests/gpu", "tests/gpu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    found = {"card": card, "cuda": torch.version.cuda, "python": sys.version.split()[0], "versions": versions}
    return {**found, "tests": {"status": done.returncode, "failed": lines, "end": done.stdout[-500:]}}


def prepare_tiny(work: Path) -> None:
    """The configuration of a model and the grid of an experiment at tiny size."""
    import yaml
    from transformers import Qwen2Config

    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = Qwen2Config(vocab_size=256, num_key_value_heads=2, architectures=["Qwen2ForCausalLM"], **shape)
    config.save_pretrained(work / "tiny_model")
    sys.path.append(str(ROOT / "experiments"))
    from countdown.grid import read_grid

    grid = read_grid(ROOT / "experiments/countdown/gpu.yaml")
    four = "reasoning_gym:countdown?min_numbers=4&max_numbers=4&min_value=1&max_value=12&min_target=10&max_target=99"
    train, held_out = (f"{four}&seed={seed}&size=40" for seed in (1, 1000000))
    start = {"max_steps": 2, "dataset": train, "search_per_problem": 1, "per_device_train_batch_size": 8}
    sft = str(ROOT / "recipes/quickstart/sft.yaml")
    grid["problems"] = {"train": train, "held_out": held_out, "test": 20, "validation": 10}
    grid["start"] = {"build": {"hidden_size": 32, "layers": 2}, "sft": sft, "overrides": start}
    grid.update(budget=600, seeds=[0])
    sizes = {"per_device_train_batch_size": 16, "gradient_accumulation_steps": 1, "max_completion_length": 16}
    grid["training"].update(use_cpu=True, **sizes)
    grid["sampling"].update(max_new_tokens=16, batch_size=80)
    target = work / "experiments" / "countdown" / "grid.yaml"
    for place in (target.parent, work / "docs"):  # where the summary of the runs goes, as from the repository's grid
        place.mkdir(parents=True, exist_ok=True)
    target.write_text(yaml.safe_dump(grid, sort_keys=False), encoding="utf-8")


def last_json(text: str) -> Any:
    """The last JSON object that a script has printed, on one line or on several; `None` without one."""
    decoder, starts = json.JSONDecoder(), [0, *(at + 1 for at, letter in enumerate(text) if letter == "\n")]
    for start in reversed([at for at in starts if text[at : at + 1] == "{"]):
        try:
            found, end = decoder.raw_decode(text, start)
        except ValueError:
            continue
        if not text[end:].strip():
            return found
    return None


def command_of(part: Part, tiny: bool) -> list[str]:
    """The command line of a part, from the repository's root."""
    return [part.script, *(part.tiny if tiny else part.arguments)]


def finished(path: Path, command: list[str]) -> bool:
    """Whether a part is done, by the same command."""
    if not path.is_file():
        return False
    found = json.loads(path.read_text(encoding="utf-8"))
    return found["status"] == "done" and found["command"] == command


def run(part: Part, folder: Path, tiny: bool, limit: float) -> dict[str, Any]:
    """Run a part within its limit, ending all of its processes after it, and keep what came of it."""
    command, started = command_of(part, tiny), time.monotonic()
    paths = [str(ROOT / "src"), str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "HF_HUB_OFFLINE": "1"}
    log = folder / f"{part.name}.log"
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors,
            text=True, start_new_session=True,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=limit)
            status = "done" if process.returncode == 0 else f"failed with status {process.returncode}"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            status = f"stopped after {limit:g} s"
    result = last_json(output)
    if part.name == "countdown":  # plots and pages of the experiment may need what the machine lacks
        result = {"runs": runs_of(folder)}
        status = "done" if len(result["runs"]) == len(ARMS.split(",")) else status
    if part.name == "kernels" and result and result["tests"]["status"] not in (0, 5):
        status = "tests failed"
    found = {
        "part": part.name, "status": status, "tiny": tiny, "seconds": round(time.monotonic() - started, 1),
        "command": command, "result": result, "output": output[-2000:], "errors": log.read_text()[-2000:],
    }  # fmt: skip
    (folder / f"{part.name}.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return found


def runs_of(work: Path) -> dict[str, float]:
    """Accuracy of each finished run of the experiment; they count also where the part met its limit."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((work / "countdown").rglob("result.json"))]
    return {f"{run['arm']}, seed {run['seed']}": run["pass_at_1"] for run in found}


def page(found: list[dict[str, Any]], names: list[str]) -> str:
    """The page of all parts: what ran, on which card, and the numbers."""
    by_name = {one["part"]: one for one in found}
    ran = [one for one in found if not one["tiny"] and (one["result"] or {}).get("card")]
    card = ran[0]["result"]["card"] if ran else None
    lines = ["# What a GPU has shown", "", "```bash", "make gpu-proof", "```", ""]
    lines.append(f"On one {card}." if card else f"{NOT_RUN} No number on this page is of one.")
    lines += ["", "Each part is one script in at most 9 minutes; the same command goes on where it was interrupted."]
    lines += ["A machine without a network takes the wheels that `make gpu-wheels` gathers.", ""]
    lines += ["| part | status | seconds |", "|---|---|---|"]
    for name in names:
        one = by_name.get(name)
        shown = "not run" if one is None else one["status"] + (", tiny, on a CPU" if one["tiny"] else "")
        lines.append(f"| {name} | {shown} | {one['seconds'] if one else ''} |")
    measured = [
        one for one in found if one["result"] and not one["tiny"]
    ]  # also what was there when a part was stopped
    memory = [one for one in measured if one["part"].startswith("memory-")]
    if memory:
        lines += [
            "",
            "## Plan against peak, GiB",
            "",
            "| model | rollout: plan, peak | update: plan, peak | tokens per second of rollouts, of updates |",
            "|---|---|---|---|",
        ]
    for one in memory:
        result = one["result"]
        cells = [f"{result[key]['plan']}, {result[key]['peak']}" for key in ("rollout_gib", "training_gib")]
        cells += [", ".join(" ".join(map(str, rates)) for rates in result.get("tokens_per_second", {}).values())]
        lines.append(f"| {result['settings']['model']}, 4-bit | {' | '.join(cells)} |")
    drawn = [one for one in measured if one["part"].startswith("decoding-")]
    if drawn:
        lines += ["", "## Milliseconds a token", "", "| model | engine | 8 | 32 | 64 |", "|---|---|---|---|---|"]
    for one in drawn:
        kind = "4-bit" if one["result"]["four_bit"] else "bfloat16"
        for engine, values in one["result"]["ms_a_token"].items():
            cells = " | ".join(str(values.get(batch, "")) for batch in ("8", "32", "64"))
            lines.append(f"| {one['result']['model']}, {kind} | {engine} | {cells} |")
    step = next((one for one in measured if one["part"] == "step"), None)
    if step:
        lines += ["", "## A step against TRL's", "", "| trainer | seconds | times as fast |", "|---|---|---|"]
        for name, cost in step["result"]["lognormal"].items():
            lines.append(f"| {name} | {cost['wall']:.2f} | {cost['wall_times']:.2f} |")
    countdown = by_name.get("countdown")
    if countdown and not countdown["tiny"]:
        lines += ["", "## Countdown, one size up", "", "| run | accuracy |", "|---|---|"]
        lines += [f"| {name} | {accuracy:.3f} |" for name, accuracy in countdown["result"]["runs"].items()]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Run what is not done; the number of parts that are not done then, at most 1, is the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="every part on the CPU at tiny size")
    parser.add_argument("--only", nargs="+", help="only these parts")
    parser.add_argument("--folder", type=Path, help="of the results; default runs/gpu_proof, or runs/gpu_proof_tiny")
    parser.add_argument("--page", type=Path, help=f"default {PAGE.relative_to(ROOT)}; with --tiny beside the results")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds of a part")
    parser.add_argument("--kernels", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.kernels:
        print(json.dumps(kernels()))
        return 0
    folder = (given.folder or ROOT / "runs" / ("gpu_proof_tiny" if given.tiny else "gpu_proof")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    target = given.page or (folder / "gpu_proof.md" if given.tiny else PAGE)
    if given.tiny:
        prepare_tiny(folder)
    elif not has_gpu():
        print("no CUDA GPU: nothing was run; --tiny runs every part on the CPU", file=sys.stderr)
        return 1
    missing = 0
    every = parts(folder)
    for part in every:
        if given.only and part.name not in given.only:
            continue
        if finished(folder / f"{part.name}.json", command_of(part, given.tiny)):
            print(f"{part.name}: done already", flush=True)
            continue
        one = run(part, folder, given.tiny, given.limit)
        missing += one["status"] != "done"
        print(f"{part.name}: {one['status']}, {one['seconds']} s", flush=True)
        there = [folder / f"{each.name}.json" for each in every]
        found = [json.loads(path.read_text(encoding="utf-8")) for path in there if path.is_file()]
        target.write_text(page(found, [each.name for each in every]), encoding="utf-8")
    return min(missing, 1)


def has_gpu() -> bool:
    """Whether torch sees a CUDA GPU."""
    import torch

    return torch.cuda.is_available()


if __name__ == "__main__":
    sys.exit(main())
