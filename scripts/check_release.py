"""Build wheel and sdist, and try the wheel as somebody who has nothing else.

    make dist
    python scripts/check_release.py [--tag v0.1.0] [--skip-quickstart] [--keep]

1. builds both archives into `dist/` and looks into them (`scripts/archives.py`);
2. `twine check --strict`: the metadata is complete and the README can be shown;
3. installs the wheel with only its own dependencies, at the versions of `constraints.txt`, into a new environment in a
   folder outside the checkout, and runs there the README's example that needs no model, and `rlsp`;
4. adds the extra `gym` and runs all stages of the quickstart for two steps;
5. sees that none of this wrote into the installed package.

`build` and `twine` must be installed (`pip install --group release`). A CPU build of torch comes from the index that
pip is told of (`PIP_EXTRA_INDEX_URL`). Ends with status 1 and the name of the step that failed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from archives import faults

ROOT = Path(__file__).resolve().parent.parent
FEWER = {
    "sft": {"max_steps": 2, "per_device_train_batch_size": 8, "search_per_problem": 1},
    "grpo": {
        "max_steps": 1,
        "per_device_train_batch_size": 8,
        "steps_per_generation": 1,
        "max_completion_length": 32,
        "logging_steps": 1,
    },
    "eval": {"max_new_tokens": 32},
}
"""Overrides that shorten the quickstart to seconds."""

SIZES = {"sft": ("2500", "60"), "grpo": ("2500", "60"), "eval": ("800", "8")}
"""Number of problems in the recipe and here: the size at the end of the source."""


class ReleaseError(Exception):
    """A step that found something wrong."""


def main() -> int:
    """Run every step; returns the exit status."""
    given = parse(sys.argv[1:])
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    started = time.monotonic()
    try:
        check_versions(version, given.tag)
        wheel, sdist = build(version)
        inspect([wheel, sdist], version)
        run([sys.executable, "-m", "twine", "check", "--strict", wheel, sdist])
        with empty_place(given.keep) as place:
            try_wheel(wheel, place, quickstart=not given.skip_quickstart)
    except ReleaseError as error:
        print(f"release check failed: {error}", file=sys.stderr)
        return 1
    print(f"release check passed in {(time.monotonic() - started) / 60:.1f} minutes: {wheel.name}, {sdist.name}")
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The script's arguments."""
    parser = argparse.ArgumentParser(description="Build wheel and sdist, and try the wheel in a clean environment.")
    parser.add_argument("--tag", help="the tag that is being released, such as v0.1.0; must name the version")
    parser.add_argument("--skip-quickstart", action="store_true", help="leave out the shortened quickstart")
    parser.add_argument("--keep", action="store_true", help="keep the environment and say where it is")
    return parser.parse_args(arguments)


def check_versions(version: str, tag: str | None) -> None:
    """The version is the same wherever it is written; a tag names it, and the changelog has a section for it.

    Raises:
        ReleaseError: two places that disagree.
    """
    places = {
        "src/trl_rlsp/__init__.py": r'^__version__ = "(.+)"$',
        "CITATION.cff": r"^version: [\"']?([^\"'\n]+)[\"']?$",
    }
    for name, pattern in places.items():
        found = re.search(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        if found is None or found[1] != version:
            raise ReleaseError(f"{name} has version {found and found[1]}, pyproject.toml has {version}")
    if tag is None:
        return
    if tag != f"v{version}":
        raise ReleaseError(f"the tag {tag} does not name the version {version}")
    if f"## [{version}]" not in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"):
        raise ReleaseError(f"CHANGELOG.md has no section [{version}]: rename [Unreleased] and give it the date")


def build(version: str) -> tuple[Path, Path]:
    """Both archives, in an empty `dist/`."""
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    run([sys.executable, "-m", "build", "--outdir", ROOT / "dist", ROOT])
    return ROOT / f"dist/trl_rlsp-{version}-py3-none-any.whl", ROOT / f"dist/trl_rlsp-{version}.tar.gz"


def inspect(archives: Sequence[Path], version: str) -> None:
    """Nothing is missing from the archives and nothing is in them by mistake.

    Raises:
        ReleaseError: an archive with a fault.
    """
    found = [f"{archive.name} {fault}" for archive in archives for fault in faults(archive, ROOT, version)]
    if found:
        raise ReleaseError("; ".join(found))


@contextmanager
def empty_place(keep: bool) -> Iterator[Path]:
    """An empty folder outside the checkout."""
    place = Path(tempfile.mkdtemp(prefix="trl-rlsp-release-"))
    try:
        yield place
    finally:
        if keep:
            print(f"kept: {place}")
        else:
            shutil.rmtree(place)


def try_wheel(wheel: Path, place: Path, *, quickstart: bool) -> None:
    """Install the wheel into a new environment and use it from an empty working directory.

    Raises:
        ReleaseError: something does not work as it says.
    """
    work = place / "work"
    work.mkdir()
    python, rlsp = new_environment(place / "environment")
    install(python, "torch")
    install(python, str(wheel))
    run([python, "-m", "pip", "check"], cwd=work)
    before = contents(package_of(python, work))
    show([python, "-c", readme_example()], work, expect="[1.0")  # the right answer first
    show([rlsp, "--help"], work, expect="usage: rlsp COMMAND")
    show([rlsp, "recipes"], work, expect="quickstart")
    show([rlsp, "recipes", "copy", "quickstart", "--to", "copied"], work, expect="quickstart copied to copied")
    if quickstart:
        install(python, f"{wheel}[gym]")
        arguments = [rlsp, "run", "quickstart", *shortened()]
        show(arguments, work, expect="report: runs/quickstart-seed0")
        show(arguments, work, expect="complete, skipped")
    after = contents(package_of(python, work))
    if before != after:
        raise ReleaseError(
            f"files of the installed package changed: {sorted(set(before.items()) ^ set(after.items()))}"
        )


def new_environment(folder: Path) -> tuple[Path, Path]:
    """A virtual environment: its Python, and where the command `rlsp` will be."""
    venv.create(folder, with_pip=True)
    binaries = folder / ("Scripts" if os.name == "nt" else "bin")
    run([binaries / "python", "-m", "pip", "install", "--quiet", "--upgrade", "pip>=25.1"])
    return binaries / "python", binaries / "rlsp"


def install(python: Path, what: str) -> None:
    """Install a package at the versions that the project is tested with."""
    run([python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", what])


def readme_example() -> str:
    """The first Python block of the README that uses `RLSPRewards`, which needs neither model nor network.

    Raises:
        ReleaseError: the README has none.
    """
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    found = [block for block in blocks if "RLSPRewards(" in block]
    if not found:
        raise ReleaseError("README.md has no Python block that uses RLSPRewards")
    return found[0]


def shortened() -> list[str]:
    """Arguments of `rlsp run quickstart` that make it take seconds."""
    arguments = []
    for stage, fields in FEWER.items():
        text = (ROOT / f"recipes/quickstart/{stage}.yaml").read_text(encoding="utf-8")
        source = re.search(r'^dataset: "(.+)"$', text, re.MULTILINE)
        long, short = SIZES[stage]
        if source is None or not source[1].endswith(f"size={long}"):
            raise ReleaseError(f"the {stage} stage of the quickstart has no data set of size {long} any more")
        dataset = source[1].removesuffix(long) + short
        for name, value in {**fields, "dataset": dataset}.items():
            arguments += [f"--{stage}.{name}", str(value)]
    return arguments


def package_of(python: Path, work: Path) -> Path:
    """The folder of the installed package.

    Raises:
        ReleaseError: it is the checkout's.
    """
    found = run([python, "-c", "import trl_rlsp; print(trl_rlsp.__path__[0])"], cwd=work, capture=True).strip()
    if Path(found).is_relative_to(ROOT):
        raise ReleaseError(f"the environment uses the checkout, {found}, instead of the wheel")
    return Path(found)


def contents(folder: Path) -> dict[str, str]:
    """Hash of each file in a folder but for Python's caches."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def show(command: Sequence[str | Path], work: Path, *, expect: str) -> None:
    """Run a command and see that what it prints holds a text.

    Raises:
        ReleaseError: it does not.
    """
    output = run(command, cwd=work, capture=True)
    if expect not in output:
        raise ReleaseError(f"{command_line(command)} did not print {expect!r} but:\n{output}")


def run(command: Sequence[str | Path], *, cwd: Path = ROOT, capture: bool = False) -> str:
    """Run a command without this environment's Python settings; what it printed, if captured.

    Raises:
        ReleaseError: it ended with another status than 0.
    """
    print(f"$ {command_line(command)}", flush=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**environment, "COLUMNS": "200", "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE if capture else None,
        stderr=subprocess.STDOUT if capture else None,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ReleaseError(f"{command_line(command)} ended with status {done.returncode}\n{done.stdout or ''}")
    return done.stdout or ""


def command_line(command: Sequence[str | Path]) -> str:
    """A command as it is shown: one line, long programs cut."""
    text = " ".join(str(part) for part in command).replace("\n", " ")
    return text if len(text) <= 160 else f"{text[:157]}..."


if __name__ == "__main__":
    sys.exit(main())
