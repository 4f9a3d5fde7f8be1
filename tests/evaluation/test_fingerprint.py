"""Hashes change with what they are of, and with nothing else."""

from __future__ import annotations

import shutil

import pytest
from datasets import Dataset

from trl_rlsp.evaluation import _store as fingerprint
from trl_rlsp.evaluation._store import model_hash, problems_hash, prompts_hash


def problems(content="1 + 1 ?", system=None, **columns):
    prompt = [{"role": "user", "content": content}]
    if system:
        prompt.insert(0, {"role": "system", "content": system})
    return Dataset.from_dict({"prompt": [prompt], "solution": ["2"], **columns})


class TestProblems:
    def test_problem_and_gold_answer_count(self):
        hashes = [
            problems_hash(p)
            for p in (problems(), problems("1 + 2 ?"), problems(solution=["3"]), problems(tests=["[]"]))
        ]
        assert len(set(hashes)) == 4

    def test_the_system_message_is_of_the_prompt_alone(self):
        assert problems_hash(problems(system="Think.")) == problems_hash(problems())
        assert prompts_hash(problems(system="Think.")) != prompts_hash(problems())

    def test_level_and_subject_do_not_count(self):
        assert problems_hash(problems(level=["5"])) == problems_hash(problems())


class TestModel:
    def test_a_hub_id_is_its_own(self):
        assert model_hash("owner/name") == "owner/name"

    def test_moved_is_the_same(self, model_folder, tmp_path):
        shutil.copytree(model_folder, tmp_path / "moved")
        (tmp_path / "moved" / "README.md").write_text("a card")
        assert model_hash(str(tmp_path / "moved")) == model_hash(str(model_folder))

    @pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
    @pytest.mark.parametrize("piece", [1 << 20, 64])
    def test_changed_is_another(self, model_folder, tmp_path, monkeypatch, name, piece):
        monkeypatch.setattr(fingerprint, "PIECE", piece)
        copy = tmp_path / "copy"
        shutil.copytree(model_folder, copy)
        before = model_hash(str(copy))
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert model_hash(str(copy)) != before
