"""The comparison of one round with two: its commands, and its sums on made-up samples."""

from __future__ import annotations

import json
import sys

import pytest

from selfplay import run as selfplay
from trl_rlsp.pipeline import parse_run, round_settings


def write_samples(folder, scores):
    folder.mkdir(parents=True)
    rows = [{"problem": n, "score": score, "tokens": 10 * (n + 1)} for n, score in enumerate(scores)]
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "metrics.json").write_text("{}")


@pytest.fixture
def runs(tmp_path):
    """Seed 0 of both arms on two problems, seed 1 of one arm; seed 2 has just begun."""
    write_samples(tmp_path / "one-seed0" / "eval_RLSP", [0.0, 1.0])
    write_samples(tmp_path / "one-seed1" / "eval_RLSP", [0.0, None])
    write_samples(tmp_path / "two-seed0" / "round-2" / "eval_RLSP", [1.0, 1.0])
    (tmp_path / "two-seed2").mkdir()
    return tmp_path


class TestCommands:
    @pytest.mark.parametrize("arm", list(selfplay.ARMS))
    def test_every_arm_has_sixty_updates(self, arm, tmp_path, monkeypatch):
        monkeypatch.chdir(selfplay.ROOT)
        run = parse_run(selfplay.command(arm, 3, tmp_path)[4:])
        round_settings(run.recipe, run.overrides["rounds"])
        rl = run.overrides["grpo"]
        assert run.rounds * int(rl[rl.index("--max_steps") + 1]) == 60
        assert run.overrides["sft"] == ["--seed", "3"]
        assert run.output == tmp_path / f"{arm}-seed3"

    def test_the_start(self, tmp_path):
        assert selfplay.command("one", 0, tmp_path)[:4] == [sys.executable, "-m", "trl_rlsp", "run"]


class TestSummary:
    def test_by_hand(self, runs):
        found = selfplay.summarize(runs, ["one", "two"], [0, 1, 2])
        assert found["one"]["seeds"] == [0, 1]
        assert found["one"]["accuracy"][0] == pytest.approx(1 / 3, abs=1e-5)  # 0, 1, 0; one is not scorable
        assert found["two"]["accuracy"] == [1.0, 1.0, 1.0]
        assert found["two"]["tokens"][0] == 15.0
        assert found["two"]["minus_one"][0] == 0.5  # seed 0 alone: 1 - 1/2
        assert list(found["two"]["minus_one_by_seed"]) == ["0"]

    def test_nothing_finished(self, tmp_path):
        assert selfplay.summarize(tmp_path, ["one", "two"], [0]) == {}

    def test_the_docs_keep_what_is_around_the_table(self, runs, tmp_path, monkeypatch):
        docs = tmp_path / "docs.md"
        docs.write_text(f"before\n{selfplay.START}\nold\n{selfplay.END}\nafter\n")
        monkeypatch.setattr(selfplay, "HERE", tmp_path)
        selfplay.write(selfplay.summarize(runs, ["one", "two"], [0]), docs)
        text = docs.read_text()
        assert text.startswith("before\n")
        assert text.endswith("\nafter\n")
        assert "old" not in text
        assert "| 2 rounds x 30, each from the base | 1 | 100.0 [100.0, 100.0] | 15.0" in text
        assert json.loads((tmp_path / "results.json").read_text())["two"]["seeds"] == [0]


def test_the_docs_have_the_marks():
    text = (selfplay.ROOT / "docs" / "selfplay.md").read_text()
    assert text.index(selfplay.START) < text.index(selfplay.END)
