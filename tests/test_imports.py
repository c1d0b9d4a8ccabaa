"""Who may import whom, and what stays unloaded until it is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import quanta

ROOT = Path(quanta.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
# Each family, and what it may import of the package besides itself: values that lie upstream of it.
FAMILIES = {
    "tasks": (),
    "learners": (),
    "models": ("quanta.tasks",),
    "importers": (),
    "transitions": (),
    "scaling": (),
    "worlds": (),
}
COMMANDS = [p.stem for p in MODULES if p.parent == ROOT and "_cli.main(" in p.read_text(encoding="utf-8")]

# Which files may import what, wherever in the file; and no other file may.
RESERVED = {
    "torch": ("models/", "train.py", "_checkpoint.py"),
    "matplotlib": (
        "plot.py",
        "_plot_style.py",
        "_plot_search.py",
        "_plot_autonomy.py",
        "_plot_progress.py",
        "_plot_scaling.py",
        "_plot_views.py",
    ),
    "bokeh": ("report.py",),
    "dask": ("sweep.py", "_sweep_cluster.py"),
    "distributed": ("sweep.py", "_sweep_cluster.py"),
}
HEAVY = ("numba", "torch", "xarray", "scipy", "matplotlib")

MEMBERS = [p for p in MODULES if p.parent.name in FAMILIES and p.name != "__init__.py"]

modules = pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))


def _imports(path, *, at_import_time):
    """Names that a file imports: anywhere in it, or only while it is itself being imported."""
    found = []
    todo = [ast.parse(path.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            assert [alias.name for alias in node.names] != ["*"], f"{path} has an import *"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        is_later = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        is_for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if at_import_time and is_for_types:
            todo += node.orelse
        elif not (at_import_time and is_later):
            todo += ast.iter_child_nodes(node)
    return sorted(found)


def _name(path):
    return str(path.relative_to(ROOT))


def _top(imported):
    return imported.split(".")[0]


@modules
def test_heavy_libraries_are_imported_only_where_the_listing_says(path):
    for imported in _imports(path, at_import_time=False):
        homes = RESERVED.get(_top(imported))
        assert homes is None or _name(path).startswith(homes), f"{_name(path)} imports {imported}"


@pytest.mark.parametrize("path", MEMBERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_member_of_a_family_imports_numpy_scipy_and_its_own_family(path):
    """Kernels (files that begin with numba or torch) are members' own, imported by them at first use."""
    family = path.parent.name
    libraries = {
        *sys.stdlib_module_names,
        "numpy",
        "scipy",
        "numba",
        "llvmlite",
        *(["torch"] if family == "models" else []),
    }
    own = (
        f"quanta.{family}",
        *FAMILIES[family],
        "quanta._chebyshev",
        "quanta._checks",
        "quanta._errors",
        "quanta._parts",
        "quanta.frequencies",
    )
    for imported in _imports(path, at_import_time=True):
        allowed = imported.startswith(own) if _top(imported) == "quanta" else _top(imported) in libraries
        assert allowed, f"{_name(path)} imports {imported}"


@pytest.mark.parametrize("name", ["record.py", "_schema.py", "_store.py", "_output.py", "_cli.py", "frequencies.py"])
def test_the_foundation_imports_no_family_and_no_stage(name):
    foundation = ("quanta._", "quanta.record", "quanta.frequencies")
    for imported in _imports(ROOT / name, at_import_time=False):
        if _top(imported) == "quanta":
            assert imported.startswith(foundation), f"{name} imports {imported}"


def _loaded_by(code, *argv):
    """Top-level modules in a fresh interpreter after it has run ``code``."""
    report = "import atexit, sys; atexit.register(lambda: print('\\nLOADED', *{n.split('.')[0] for n in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{report}\n{code}", *argv], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("LOADED")[2].split())


def test_importing_quanta_loads_nothing_else():
    assert not _loaded_by("import quanta; dir(quanta)") & {*HEAVY, "numpy", "tyro", "zarr", "pandas"}


@pytest.mark.parametrize("name", quanta.__all__)
def test_every_name_in_the_table_of_contents_is_a_module_or_a_family(name):
    assert (ROOT / f"{name}.py").exists() or (ROOT / name / "__init__.py").exists()


def test_a_name_that_is_not_in_the_table_of_contents_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'simulator'"):
        quanta.simulator  # noqa: B018


def test_commands_were_found():
    assert COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "--sead"])
def test_help_and_misspelt_flags_are_answered_before_anything_heavy_is_loaded(command, flag):
    code = f"""
import runpy, sys
sys.argv = ["quanta.{command}", {flag!r}]
try:
    runpy.run_module("quanta.{command}", run_name="__main__")
except SystemExit as stop:
    assert stop.code in (None, 0, 2), stop.code
"""
    assert not _loaded_by(code) & {*HEAVY}


def test_every_command_of_the_console_script_is_a_command():
    from quanta import _cli

    assert {*_cli.COMMANDS} == {*COMMANDS}


@modules
def test_every_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{_name(path)} has no docstring"
