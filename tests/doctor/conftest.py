"""A healthy stage of each kind as a YAML file, and the findings of one that differs from it."""

from __future__ import annotations

import json

import pytest
import yaml

from trl_rlsp.doctor import examine, read_stage


@pytest.fixture
def rows(tmp_path):
    """Four problems with answers, and reasoning for SFT."""
    path = tmp_path / "rows.jsonl"
    made = [{"problem": f"{n} 1 : {n + 1}", "reasoning": f"{n} + 1 = {n + 1}", "answer": str(n + 1)} for n in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return path


@pytest.fixture
def write_stage(tmp_path, model_folder, rows):
    """Write a healthy stage with some fields changed; `None` leaves a field out."""

    def write(kind, **changes):
        fields = {
            "model_name_or_path": str(model_folder),
            "dataset": str(rows),
            "output_dir": str(tmp_path / "out"),
            "dtype": "float32",
            "bf16": False,
            "use_cpu": True,
            "report_to": "none",
            "max_steps": 10,
            "save_steps": 5,
            "per_device_train_batch_size": 4,
        }
        special = {"num_generations": 4, "max_completion_length": 32, "gate": "correct"}
        fields |= special if kind == "grpo" else {"max_length": 64, "demonstration_style": "messages"}
        path = tmp_path / "stage.yaml"
        left = {name: value for name, value in (fields | changes).items() if value is not None}
        path.write_text(yaml.safe_dump(left))
        return str(path)

    return write


@pytest.fixture
def findings(write_stage):
    """The findings about a healthy stage with some fields changed."""

    def find(kind, *, processes=1, elsewhere=False, checks=None, **changes):
        arguments = ["--config", write_stage(kind, **changes)]
        return examine(read_stage(kind, arguments, processes=processes, elsewhere=elsewhere), checks)

    return find


@pytest.fixture
def changed_tokenizer(tmp_path, model_folder):
    """The tiny model's folder with another tokenizer."""
    import shutil

    from trl_rlsp.countdown import build_tokenizer

    def change(**attributes):
        folder = tmp_path / "changed"
        shutil.copytree(model_folder, folder, dirs_exist_ok=True)
        tokenizer = build_tokenizer()
        for name, value in attributes.items():
            setattr(tokenizer, name, value)
        if attributes.get("chat_template", "") is None:
            (folder / "chat_template.jinja").unlink(missing_ok=True)
        tokenizer.save_pretrained(folder)
        return str(folder)

    return change
