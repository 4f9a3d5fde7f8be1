"""Fixtures that more than one test module uses: a tiny model on disk, and the commands run for real."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("shared_machine", deadline=None)
settings.load_profile("shared_machine")

ROOT = Path(__file__).parent.parent

for _name, _value in {
    "OMP_NUM_THREADS": "1",  # two threads are slower than one for models this small
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}.items():
    os.environ.setdefault(_name, _value)


if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell started pytest in the background; children inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tokenizer():
    """The word-level tokenizer of the quickstart."""
    from trl_rlsp.countdown import build_tokenizer

    return build_tokenizer()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """A random Llama, 2 layers of width 32, saved with its tokenizer."""
    from trl_rlsp.countdown import build_model, build_tokenizer

    folder = tmp_path_factory.mktemp("tiny_model")
    build_model(hidden_size=32, layers=2).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return folder


TAUGHT = {
    "8 1 9 : 72": ("8 * 9 = 72 yes \\boxed{ 72 }", "8 + 9 = 17 no \\boxed{ 17 }", "8 * 9 = 72 yes"),
    "1 2 : 3": ("1 + 2 = 3 yes \\boxed{ 3 }", "2 - 1 = 1 no \\boxed{ 1 }", "2 - 1 = 1 no"),
}
"""Problem -> a right completion, a wrong one, one without an answer; the taught model gives each equally often."""


@pytest.fixture(scope="session")
def taught():
    """The completions that the taught model knows: problem -> (right, wrong, without an answer)."""
    return TAUGHT


@pytest.fixture(scope="session")
def taught_folder(tmp_path_factory):
    """A tiny model that has learned the completions of `taught` by heart, saved with its tokenizer."""
    import torch

    from trl_rlsp.countdown import build_model, build_tokenizer

    tokenizer, model = build_tokenizer(), build_model(hidden_size=32, layers=2)
    texts = [f"<user> {p} <assistant> {c} <eos>" for p, completions in TAUGHT.items() for c in completions]
    batch = tokenizer(texts, return_tensors="pt", padding=True)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss.backward()
        optimizer.step()
    folder = tmp_path_factory.mktemp("taught_model")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def run_rlsp():
    """`python -m trl_rlsp ARGUMENTS` in a process of its own; text of both streams is captured."""

    def run(*arguments, cwd, timeout=300, **environment):
        return subprocess.run(
            [sys.executable, "-m", "trl_rlsp", *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, "COLUMNS": "200", **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="module", params=["bubblewrap", "landlock"])
def sandbox(request):
    """A sandbox of each kind that this machine has."""
    from trl_rlsp.verification import LocalSandbox
    from trl_rlsp.verification.code.sandbox import bubblewrap_privileges
    from trl_rlsp.verification.workers._confine import available_layers

    if not (bubblewrap_privileges() if request.param == "bubblewrap" else len(available_layers()) == 2):
        pytest.skip(f"{request.param} cannot be used on this machine")
    with LocalSandbox(request.param) as running:
        yield running


@pytest.fixture
def judge_url(monkeypatch):
    """The address of a server on this machine that grades as a judge does."""
    monkeypatch.syspath_prepend(ROOT / "tests" / "rewards")
    from judge_server import JudgeServer

    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with JudgeServer() as server:
        yield server.url


@pytest.fixture(scope="session")
def load_script():
    """`load_script("benchmarks/name.py")`: a script of the repository as a module."""

    def load(path):
        spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def sample_row(problem, text, score, **fields):
    row = {"problem": problem, "text": text, "tokens": 7, "finished": True, "score": score}
    return {**row, "reason": "match" if score else "mismatch", **fields}


@pytest.fixture
def write_evaluation():
    """`write_evaluation(folder, [(problem, text, score), ...])`: an evaluation on disk, as `rlsp eval` leaves it."""

    def write(folder, samples, settings=None, **figures):
        folder.mkdir(parents=True)
        rows = [sample if isinstance(sample, dict) else sample_row(*sample) for sample in samples]
        (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        figures = figures or {"pass_at_1": {"mean": 0.5, "low": 0.4, "high": 0.6}}
        (folder / "metrics.json").write_text(json.dumps({**figures, "settings": settings or {"dataset": "hub/set"}}))
        return folder

    return write


@pytest.fixture
def write_training():
    """`write_training(folder, {step: [(prompt, completion, score, verdict), ...]}, history)`: what TRL leaves."""

    def write(folder, batches, history=(), columns=None):
        import pandas as pd

        (folder / "completions").mkdir(parents=True)
        for step, rows in batches.items():
            prompts, completions, scores, verdicts = zip(*rows, strict=True)
            table = {
                "step": [step] * len(rows),
                "prompt": [[{"role": "user", "content": prompt}] for prompt in prompts],
                "completion": [[{"role": "assistant", "content": text}] for text in completions],
                "outcome_verifier": [float("nan") if score is None else score for score in scores],
                "verdict": verdicts,
                "advantage": [0.0] * len(rows),
                **(columns or {}),
            }
            pd.DataFrame(table).to_parquet(folder / "completions" / f"completions_{step:05d}.parquet")
        if history:
            (folder / "trainer_state.json").write_text(json.dumps({"log_history": list(history)}))
        return folder

    return write
