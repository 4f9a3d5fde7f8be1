"""Execute the notebooks and write their outputs back: `make notebooks`.

    python notebooks/execute.py [NOTEBOOK ...]                  at tiny size, on any CPU, outputs written back
    RLSP_SIZE=real python notebooks/execute.py 03_llama_math_qlora.ipynb   at real size, into runs/notebooks

Each runs in a fresh kernel of this interpreter. At tiny size it runs in an empty folder with links to the parts of the
checkout that notebooks read, so that what one leaves behind cannot help another. What is written is the same on every
machine but for the figures themselves: no times, paths, progress bars or warnings. `metadata.trl_rlsp` says of which
code and which size the outputs are.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOKS = Path(__file__).resolve().parent
LINKS = ("recipes", "tests", "notebooks/tiny_models.py")
"""What a notebook may read, relative to the checkout."""

QUIET = {
    "TQDM_DISABLE": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONWARNINGS": "ignore",
    "NO_COLOR": "1",
}
TINY = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


class OwnKernel(AsyncKernelManager):
    """A kernel of the interpreter that runs this file, whatever kernels are registered on the machine."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """How the kernel is started."""
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python")


def prepare(folder: Path) -> Path:
    """An empty `folder` made to look like the checkout, as far as notebooks read it.

    Returns:
        The working directory for a notebook.
    """
    (folder / "notebooks").mkdir(parents=True)
    for link in LINKS:
        (folder / link).symlink_to(NOTEBOOKS.parent / link)
    return folder / "notebooks"


def execute(path: Path, working: Path, size: str = "tiny") -> NotebookNode:
    """Run every cell of a notebook in a fresh kernel.

    Args:
        path: the notebook.
        working: directory to run in.
        size: "tiny" or "real".

    Returns:
        The notebook with new outputs, normalized.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as private:
        surroundings = QUIET | {"RLSP_SIZE": size, "IPYTHONDIR": private} | (TINY if size == "tiny" else {})
        client = NotebookClient(
            notebook,
            km=OwnKernel(transport="ipc", connection_file=str(Path(private, "kernel.json"))),
            timeout=600 if size == "tiny" else None,
            startup_timeout=300,
            resources={"metadata": {"path": str(working)}},
        )
        client.execute(env={**os.environ, **surroundings}, cleanup_kc=True)  # else a kernel that was passed outlives it
    return normalized(notebook, size)


def normalized(notebook: NotebookNode, size: str) -> NotebookNode:
    """The notebook with nothing in it that depends on when and where it ran."""
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    made = {"size": size, "code": code_hash(notebook)}
    notebook.metadata = nbformat.from_dict({"kernelspec": spec, "language_info": {"name": "python"}, "trl_rlsp": made})
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number:02}", nbformat.from_dict({})
        if cell.cell_type == "code":
            cell.outputs = merged([kept for output in cell.outputs if (kept := shown(output)) is not None])
    return notebook


def shown(output: NotebookNode) -> NotebookNode | None:
    """An output as it is kept; `None` for what goes to stderr: warnings and progress."""
    if output.output_type == "stream" and output.name == "stderr":
        return None
    if "metadata" in output:
        output.metadata = nbformat.from_dict({})
    if "image/png" in output.get("data", {}):
        output.data = nbformat.from_dict({"image/png": output.data["image/png"]})
    return output


def merged(outputs: Sequence[NotebookNode]) -> list[NotebookNode]:
    """Outputs with printed text in one piece where nothing else lies between."""
    found: list[NotebookNode] = []
    for output in outputs:
        if found and output.output_type == "stream" == found[-1].output_type:
            found[-1].text += output.text
        else:
            found.append(output)
    return found


def code_hash(notebook: NotebookNode) -> str:
    """Hash of the code cells, in order.

    Example:
        >>> from nbformat.v4 import new_code_cell, new_notebook
        >>> code_hash(new_notebook(cells=[new_code_cell("1 + 1")]))
        '72fce59447a01f48'
    """
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\0".join(code).encode()).hexdigest()[:16]


def main(arguments: Sequence[str]) -> None:
    """Execute the notebooks named, default all of them."""
    size = os.environ.get("RLSP_SIZE", "tiny")
    for path in map(Path, arguments or sorted(NOTEBOOKS.glob("*.ipynb"))):
        source = path if path.is_file() else NOTEBOOKS / path.name
        with tempfile.TemporaryDirectory() as folder:
            working = prepare(Path(folder, "checkout")) if size == "tiny" else NOTEBOOKS
            notebook = execute(source, working, size)
        target = source if size == "tiny" else NOTEBOOKS.parent / "runs" / "notebooks" / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, target)
        print(f"{target.name}: {len(notebook.cells)} cells, {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
