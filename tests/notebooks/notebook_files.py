"""Where the notebooks are, and what their cells show."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent.parent.parent / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))


def kinds(cells):
    """What each code cell shows, without the values."""
    return [
        [(output.output_type, sorted(output.get("data", {}))) for output in cell.outputs]
        for cell in cells
        if cell.cell_type == "code"
    ]
