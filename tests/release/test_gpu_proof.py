"""One command for what only a GPU can show: its parts run, what is done is skipped, and no page claims a GPU."""

from __future__ import annotations

import json

import gpu_proof
import pytest


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """Two parts of one line each: one that is done at once, and one that takes as long as `wait.txt` says."""
    script = tmp_path / "part.py"
    script.write_text(
        "import json, pathlib, sys, time\n"
        "print('some text')\n"
        "time.sleep(float((pathlib.Path(sys.argv[0]).parent / 'wait.txt').read_text()) if sys.argv[1:] else 0)\n"
        "print(json.dumps({'card': 'a card', 'arguments': sys.argv[1:]}, indent=2))\n"
    )
    parts = [gpu_proof.Part("quick", str(script)), gpu_proof.Part("slow", str(script), ("wait",))]
    monkeypatch.setattr(gpu_proof, "parts", lambda work: parts)
    monkeypatch.setattr(gpu_proof, "has_gpu", lambda: True)
    (tmp_path / "wait.txt").write_text("600")
    return tmp_path


def test_a_part_that_met_its_limit_is_taken_up_again(toys, capsys):
    given = ["--folder", str(toys / "results"), "--page", str(toys / "page.md"), "--limit", "5"]
    assert gpu_proof.main(given) == 1
    assert "slow: stopped after 5 s" in capsys.readouterr().out
    kept = json.loads((toys / "results" / "quick.json").read_text())
    assert (kept["status"], kept["result"]) == ("done", {"card": "a card", "arguments": []})
    assert "| slow | stopped after 5 s |" in (toys / "page.md").read_text()
    (toys / "wait.txt").write_text("0")
    assert gpu_proof.main(given) == 0
    assert "quick: done already" in capsys.readouterr().out
    text = (toys / "page.md").read_text()
    assert "| slow | done |" in text
    assert text.splitlines()[6] == "On one a card."


def test_another_command_is_no_reason_to_skip(toys):
    part = gpu_proof.Part("quick", str(toys / "part.py"))
    path = toys / "quick.json"
    gpu_proof.run(part, toys, tiny=False, limit=60)
    assert gpu_proof.finished(path, gpu_proof.command_of(part, tiny=False))
    assert not gpu_proof.finished(path, [*gpu_proof.command_of(part, tiny=False), "--more"])


def test_a_part_that_fails_says_so(toys):
    (toys / "part.py").write_text("import sys\nsys.exit(3)\n")
    found = gpu_proof.run(gpu_proof.Part("quick", str(toys / "part.py")), toys, tiny=False, limit=60)
    assert (found["status"], found["result"]) == ("failed with status 3", None)


def test_without_a_gpu_nothing_is_run(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(gpu_proof, "has_gpu", lambda: False)
    assert gpu_proof.main(["--folder", str(tmp_path)]) == 1
    assert "no CUDA GPU: nothing was run" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('a\n{"b": 1}\n', {"b": 1}),
        ('{"a": 1}\n{\n "b": {\n  "c": 2\n }\n}\n', {"b": {"c": 2}}),
        ("no object", None),
        ('{"a": 1} and more', None),
    ],
)
def test_the_last_object_of_an_output(text, found):
    assert gpu_proof.last_json(text) == found


def test_the_page_has_the_numbers_of_each_part():
    def one(part, **result):
        return {"part": part, "status": "done", "tiny": False, "seconds": 1.0, "result": {"card": "H", **result}}

    def gib(plan, peak):
        return {"plan": plan, "peak": peak}

    found = [
        one(
            "memory-8b", settings={"model": "m"}, rollout_gib=gib(2.0, 2.1), training_gib=gib(3.0, 3.2),
            tokens_per_second={"rollout": [900.0, 950.0], "update": [2000.0]},
        ),
        one("decoding-8b", model="m", four_bit=True, ms_a_token={"generate": {"8": 20.5, "32": 21.0, "64": 23.0}}),
        one("step", lognormal={"TRL": {"wall": 4.0, "wall_times": 1.0}}),
        one("countdown", runs={"sft, seed 0": 0.25}),
    ]  # fmt: skip
    text = gpu_proof.page(found, ["memory-8b", "decoding-8b", "step", "countdown", "kernels"])
    for row in (
        "| m, 4-bit | 2.0, 2.1 | 3.0, 3.2 | 900.0 950.0, 2000.0 |",
        "| m, 4-bit | generate | 20.5 | 21.0 | 23.0 |",
    ):
        assert row in text
    for row in ("| TRL | 4.00 | 1.00 |", "| sft, seed 0 | 0.250 |", "| kernels | not run |  |", "On one H."):
        assert row in text
    assert gpu_proof.NOT_RUN not in text


def test_the_committed_page_claims_what_was_run():
    text = gpu_proof.PAGE.read_text(encoding="utf-8")
    names = [part.name for part in gpu_proof.parts(gpu_proof.ROOT)]
    assert gpu_proof.NOT_RUN in text or "On one " in text
    assert [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if line.startswith("| ")][1:] == names


@pytest.mark.slow
def test_every_part_runs_at_tiny_size(tmp_path):
    """On the CPU: four-bit steps, decoding by each engine, TRL's step against ours, the experiment."""
    assert gpu_proof.main(["--tiny", "--folder", str(tmp_path)]) == 0
    names = [part.name for part in gpu_proof.parts(tmp_path)]
    found = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in names}
    assert {one["status"] for one in found.values()} == {"done"}
    assert found["memory-32b"]["result"]["rollout_gib"]["peak"] is None  # nothing is claimed of a GPU
    assert all(found["memory-8b"]["result"]["tokens_per_second"].values())
    assert set(found["decoding-0.5b"]["result"]["ms_a_token"]) >= {"generate", "this package"}
    assert len(found["countdown"]["result"]["runs"]) == 3
    assert gpu_proof.NOT_RUN in (tmp_path / "gpu_proof.md").read_text()
