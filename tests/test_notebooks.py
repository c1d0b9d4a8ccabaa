"""Every notebook runs from top to bottom, from anywhere, without a cell that hangs, and ends by asserting its claim."""

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from quanta import transitions, worlds

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_notebooks():
    assert NOTEBOOKS


@notebooks
def test_the_last_cell_asserts_the_claim(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.source.strip()]
    assert cells[-1].cell_type == "code"
    assert any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(cells[-1].source)))


@pytest.fixture(scope="module")
def compiled():
    """The detector, compiled: the first call takes about a minute, which is no cell's fault."""
    transitions.detect(worlds.make("ordered_two_steps", n_subtasks=10))


@notebooks
@pytest.mark.usefixtures("compiled")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client", "ignore::ResourceWarning")
def test_the_notebook_runs(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    if any("quanta.train" in cell.source or "import torch" in cell.source for cell in notebook.cells):
        pytest.importorskip("torch")
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
