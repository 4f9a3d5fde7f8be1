"""What a notebook at tiny size has in place of the Hub: the stand-ins that the tests of the recipes use.

A model has two layers of the architecture that a recipe names and a tokenizer of one token a byte, with the family's
chat template, beginning, padding and end (`tests/recipes/stand_ins.py`). Rows have the columns of each data set.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "recipes"))

import stand_ins

from trl_rlsp.problems import PRESETS


def tiny_model(name: str, folder: str | Path) -> str:
    """Save a tiny model of the architecture and the chat format of the model of that hub id.

    Args:
        name: hub id of a Llama or Qwen2 model.
        folder: where to save.

    Returns:
        The folder, to be given where the hub id would be.
    """
    return str(stand_ins.save_tiny(name, folder))


def tiny_data(name: str, folder: str | Path) -> str:
    """Write some rows with the columns of a data set.

    Args:
        name: a preset such as `math`, or a hub id that a recipe names.
        folder: where to write; made if it does not exist.

    Returns:
        The JSONL file, to be given where the name would be.
    """
    hub_id = PRESETS[name].hub_id if name in PRESETS else name
    file = Path(folder, f"{hub_id.replace('/', '-')}.jsonl")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in stand_ins.ROWS[hub_id]), encoding="utf-8")
    return str(file)
