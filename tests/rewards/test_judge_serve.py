r"""The judge against `transformers serve`: a tiny model taught to grade, and a random one that cannot."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from judge_server import GOOD, WORTH

from trl_rlsp import JudgeExploration
from trl_rlsp.errors import ServerError

COMPLETIONS = ["6 + 3 = 9 | 9 * 2 = 18 \\boxed{18}", "6 * 3 = 18 | 6 * 2 = 12 \\boxed{12}", "\\boxed{18}"]


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Where a `transformers serve` listens that loads whatever folder a request names."""
    command = shutil.which("transformers", path=str(Path(sys.executable).parent))
    if command is None or not all(importlib.util.find_spec(name) for name in ("fastapi", "uvicorn", "openai")):
        pytest.skip("needs pip install 'transformers[serving]'")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log"
    with log.open("w") as stream:
        server = subprocess.Popen(
            [command, "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            stdout=stream,
            stderr=stream,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(30)


def wait_for(health, server, log):
    for _ in range(240):
        assert server.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(health, timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"no server after two minutes: {log.read_text()}")


@pytest.fixture(scope="module")
def grading_folder(tmp_path_factory):
    """A model that has learned to answer anything with the same grades; they are one token of its own."""
    import torch

    from trl_rlsp.countdown import build_model, build_tokenizer

    tokenizer, model = build_tokenizer(), build_model(hidden_size=32, layers=2, context=4096)
    tokenizer.add_tokens([json.dumps(GOOD)])
    model.resize_token_embeddings(len(tokenizer))
    asked = "<system> {words} <user> {words} <assistant>"
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(60):
        text = asked.replace("{words}", "word | 3 = " * (1 + 3 * step)) + json.dumps(GOOD) + " <eos>"
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        labels = ids.clone()
        labels[:, :-2] = -100
        optimizer.zero_grad()
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
    folder = tmp_path_factory.mktemp("grading_model")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def graded(folder, url, **kwargs):
    """(the judge, its values of COMPLETIONS, what it logged)."""
    logged = {}
    judge = JudgeExploration(str(folder), base_url=url, concurrency=2, retries=0, options={"max_tokens": 8}, **kwargs)
    return judge, judge(prompts=["6 3 2 : 18"] * 3, completions=COMPLETIONS, log_metric=logged.__setitem__), logged


@pytest.mark.slow
def test_grades_come_through(url, grading_folder, tmp_path):
    judge, values, logged = graded(grading_folder, url, cache=tmp_path / "grades.sqlite3")
    assert values == [pytest.approx(WORTH), pytest.approx(WORTH), 0.0]
    assert (logged["judge/failed"], logged["judge/cached"]) == (0.0, 0.0)
    judge.check()
    _, again, logged = graded(grading_folder, url, cache=tmp_path / "grades.sqlite3")
    assert again == values
    assert logged == {"judge/failed": 0.0, "judge/cached": 1.0}


@pytest.mark.slow
def test_what_is_no_grade_is_none_and_counted(url, model_folder, tmp_path):
    judge, values, logged = graded(model_folder, url, cache=tmp_path / "grades.sqlite3")
    assert values == [None, None, 0.0]
    assert (logged["judge/failed"], logged["judge/cached"]) == (1.0, 0.0)
    assert logged["judge/latency"] > 0
    with pytest.raises(ServerError, match=r"must answer"):
        judge.check()
