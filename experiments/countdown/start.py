"""The starting model that every arm shares: made once by SFT, by the command that anyone would use."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl_rlsp.errors import ConfigError

if TYPE_CHECKING:
    from countdown.grid import Grid


def start_model(grid: Grid, output: Path) -> Path:
    """Folder of the starting model; trained now, stage by stage, if it is not there yet.

    Args:
        grid: the experiment.
        output: folder of the runs.

    Raises:
        ConfigError: its training failed; the log says why.
    """
    folder = output / "start"
    if (folder / "stage.json").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with open(output / "start.log", "w", encoding="utf-8") as log:
        for command in sft_commands(grid, output):
            done = subprocess.run(command, env=environment(grid), stdout=log, stderr=subprocess.STDOUT, check=False)
            if done.returncode:
                raise ConfigError(
                    f"SFT of the starting model failed with status {done.returncode}: see {output / 'start.log'}"
                )
    return folder


def sft_commands(grid: Grid, output: Path) -> list[list[str]]:
    """The commands that train the starting model, one a stage; held-out problems are left out."""
    recipes = _listed(grid.start["sft"])
    folders = [output / f"start-{number}" for number in range(1, len(recipes))] + [output / "start"]
    models = [_base(grid, output), *folders[:-1]]
    return [
        sft_command(
            {
                "config": grid.path.parent / recipe,
                "model_name_or_path": model,
                "output_dir": folder,
                **data,
                **grid.start.get("overrides", {}),
            }
        )
        for recipe, model, folder, data in zip(recipes, models, folders, _data(grid, output), strict=True)
    ]


def sft_command(arguments: Mapping[str, Any]) -> list[str]:
    """`rlsp sft` with these arguments, going on where an earlier call stopped."""
    flags = [text for name, value in arguments.items() for text in (f"--{name}", str(value))]
    return [sys.executable, "-m", "trl_rlsp", "sft", *flags, "--resume_from_checkpoint", "auto"]


def _data(grid: Grid, output: Path) -> list[dict[str, Any]]:
    """For each stage what is learned: the recipe's own problems, or demonstrations that the domain writes."""
    if "demonstrations" not in grid.start:
        return [{"exclude": grid.problems["held_out"]} for _ in _listed(grid.start["sft"])]
    from countdown.problems import demonstrable

    rows = demonstrable(grid)
    data = []
    for number, settings in enumerate(_listed(grid.start["demonstrations"]), 1):
        file = output / f"demonstrations-{number}.jsonl"
        written = grid.module().demonstrations(rows, **settings)
        file.write_text("".join(json.dumps(row) + "\n" for row in written), encoding="utf-8")
        data.append({"dataset": file})
    return data


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]


def _base(grid: Grid, output: Path) -> Path:
    """Folder of the model that SFT starts from: the one named, or one with random weights."""
    if "base" in grid.start:
        return Path(os.path.normpath(grid.path.parent / grid.start["base"]))
    folder = output / "base"
    if not (folder / "config.json").is_file():
        build: Mapping[str, Any] = grid.start["build"]
        from trl_rlsp import countdown

        tokenizer = getattr(grid.module(), "build_tokenizer", countdown.build_tokenizer)()
        tokenizer.save_pretrained(folder)
        countdown.build_model(tokenizer, **build).save_pretrained(folder)
    return folder


def environment(grid: Grid) -> dict[str, str]:
    """Environment of a run: the grid's `env` where nothing is set already; the harness can be imported."""
    experiments = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join([experiments, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**{name: str(value) for name, value in grid.env.items()}, **os.environ, "PYTHONPATH": path}


def identity(folder: Path) -> str:
    """Sixteen digits that change with the weights of the model in `folder`."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
