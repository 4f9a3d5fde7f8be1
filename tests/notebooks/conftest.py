"""The notebooks, and the script that executes them."""

from __future__ import annotations

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell
from notebook_files import FOLDER, kinds


@pytest.fixture(scope="session")
def execute(load_script):
    """`notebooks/execute.py` as a module."""
    return load_script("notebooks/execute.py")


@pytest.fixture
def run(execute, tmp_path):
    """Execute a notebook at tiny size in an empty folder: (its cells with outputs, values of expressions, folder)."""

    def run(number, **expressions):
        (path,) = FOLDER.glob(f"{number:02}_*.ipynb")
        notebook = nbformat.read(path, as_version=4)
        asked = ", ".join(f"{name!r}: {expression}" for name, expression in expressions.items())
        probe = f"import json\nprint(json.dumps({{{asked}}}))"
        notebook.cells.append(new_code_cell(probe, id="probe"))
        copy = tmp_path / path.name
        nbformat.write(notebook, copy)
        working = execute.prepare(tmp_path / "checkout")
        cells = execute.execute(copy, working).cells
        values = json.loads(cells.pop().outputs[0].text)
        assert kinds(cells) == kinds(nbformat.read(path, as_version=4).cells), "make notebooks"
        return cells, values, working.parent / "runs"

    return run
