"""The rooms of the package import only what lies below them."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import trl_rlsp

ROOT = Path(trl_rlsp.__file__).parent

FLOORS = [
    {"errors"},
    {"files"},
    {"text", "generation"},
    {"countdown", "verification"},
    {"behaviours", "problems"},
    {"rewards"},
    {"trainers", "evaluation"},
    {"runs", "stages"},
    {"planning"},
    {"selfplay", "doctor", "report"},
    {"pipeline"},
    {"commands"},
    {"cli"},
]
"""From the ground up; the map in README.md says what each room is for."""


def imports_of_rooms():
    """Room -> room that it imports -> files that do."""
    edges = defaultdict(lambda: defaultdict(set))
    for path in ROOT.rglob("*.py"):
        room = path.relative_to(ROOT).with_suffix("").parts[0]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module == "trl_rlsp":
                names = [f"trl_rlsp.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in names:
                parts = name.split(".")
                if parts[0] == "trl_rlsp" and len(parts) > 1 and parts[1] != room and is_room(parts[1]):
                    edges[room][parts[1]].add(str(path.relative_to(ROOT)))
    return edges


def is_room(name):
    return (ROOT / name).is_dir() or (ROOT / f"{name}.py").is_file()


def test_every_room_has_a_floor():
    rooms = {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()}
    rooms |= {path.stem for path in ROOT.glob("*.py")} - {"__init__", "__main__"}
    assert rooms == set().union(*FLOORS)


def test_imports_go_down():
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    edges = imports_of_rooms()
    up = {
        f"{room} imports {other}": sorted(files)
        for room, others in edges.items()
        for other, files in others.items()
        if room in floor and floor[other] >= floor[room]
    }
    assert up == {}
    assert "text" in edges["verification"]  # the graph is not empty


def test_files_are_short():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in ROOT.rglob("*.py")}
    assert {str(path): n for path, n in lengths.items() if n > 400} == {}
