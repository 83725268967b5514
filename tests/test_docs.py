"""Documentation is complete and true: every public name is documented, every example runs."""

import contextlib
import doctest
import importlib
import inspect
import io
import pkgutil
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import hanjax

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
MODULES = ["hanjax", *sorted(info.name for info in pkgutil.walk_packages(hanjax.__path__, "hanjax."))]
MODULES.remove("hanjax.__main__")  # importing it is harmless, but it has nothing but the call
SLOW = {
    "api.explaining",
    "api.monitoring",
    "api.reporting",
    "api.segments",
    "api.walking",
    "checks.future",
    "checks.masks",
    "nn.ensemble",
    "population",
    "scorer",
    "scoring.deletion",
    "training.fit",
    "training.population",
    "training.streaming",
}
"""Modules whose examples train more than one small model, or for long."""
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(autouse=True)
def close_figures():
    """Examples of pictures leave them open, and of many matplotlib complains."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def documented(thing: object) -> bool:
    """Whether somebody wrote a docstring, which Python does not count as: dataclasses and NamedTuples get one."""
    text = thing.__dict__.get("__doc__") if isinstance(thing, type) else getattr(thing, "__doc__", None)
    return bool(text) and not (isinstance(thing, type) and text.startswith(f"{thing.__name__}("))


def public(module: ModuleType):
    """Public classes and functions that are defined in a module, and the classes' own public methods."""
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(thing) or inspect.isfunction(thing):
            yield name, thing
        for attribute, member in vars(thing).items() if inspect.isclass(thing) else ():
            member = getattr(member, "__func__", member)
            if not attribute.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                yield f"{name}.{attribute}", member


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_documented(name):
    module = importlib.import_module(name)
    bare = [found for found, thing in public(module) if not documented(thing)]
    if not documented(module) and Path(module.__file__ or "").stat().st_size:
        bare.append("the module itself")
    assert not bare


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name.removeprefix("hanjax.") in SLOW else []) for name in MODULES],
)
def test_examples_in_docstrings_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    failures = io.StringIO()
    for example in doctest.DocTestFinder().find(module, name):
        runner.run(example, out=failures.write)
    assert not runner.failures, failures.getvalue()


def exported():
    """The public interface: what hanjax.__all__ names, and the functions that the packages among that name likewise."""
    for name in hanjax.__all__:
        thing = getattr(hanjax, name)
        if isinstance(thing, ModuleType):
            named = {found: getattr(thing, found) for found in thing.__all__}
            yield from ((f"{name}.{found}", member) for found, member in named.items() if inspect.isfunction(member))
        else:
            yield name, thing


EXPORTED = dict(exported())


def section(text: str, title: str) -> str:
    found = re.search(rf"^{title}:\n((?:[ \t]+.*\n|\n)*)", inspect.cleandoc(text) + "\n", re.MULTILINE)
    return found.group(1) if found else ""


@pytest.mark.parametrize("name", [name for name, thing in EXPORTED.items() if inspect.isfunction(thing)])
def test_exported_functions_say_what_they_take_and_give(name):
    function, text = EXPORTED[name], EXPORTED[name].__doc__ or ""
    signature = inspect.signature(function)
    names = [parameter.lstrip("*") for parameter in signature.parameters]
    missing = [found for found in names if not re.search(rf"\b{found}`*( \(.*\))?:", section(text, "Args"))]
    assert not missing, "parameters without a word under Args:"
    if signature.return_annotation not in (None, "None"):
        assert section(text, "Returns").strip() or section(text, "Yields").strip(), "Returns: is missing"
    assert ">>>" in section(text, "Example") + section(text, "Examples"), "an example is missing"


@pytest.mark.parametrize("name", [name for name, thing in EXPORTED.items() if hasattr(thing, "_fields")])
def test_exported_named_tuples_explain_every_field(name):
    text = section(EXPORTED[name].__doc__ or "", "Args")
    assert not [field for field in EXPORTED[name]._fields if not re.search(rf"\b{field}\b.*:", text)]


def blocks(text: str) -> list[tuple[str, str]]:
    """Fenced blocks of a Markdown text, as (language, content)."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def readme() -> str:
    if not README.exists():
        pytest.skip("there is no README.md beside the tests")
    return README.read_text()


def test_readme_code_runs_and_prints_what_it_says(readme, tmp_path, monkeypatch):
    """Python blocks run one after the other; a block ```text right after one is what it prints (`...` is anything)."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "readme"}
    found = [*blocks(readme), ("", "")]
    for (language, code), (following, wanted) in zip(found, found[1:], strict=False):
        if language != "python":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "README.md", "exec"), names)
        if following == "text":
            same = doctest.OutputChecker().check_output(wanted, printed.getvalue(), FLAGS)
            assert same, f"README.md says\n{wanted}\nbut the code prints\n{printed.getvalue()}"


def test_readme_links_to_files_that_exist(readme):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)|<img[^>]* src=\"([^\"]+)\"", readme)
    paths = [path for pair in links for path in pair if path and "://" not in path and not path.startswith("mailto:")]
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_continuous_integration_runs_the_commands_of_the_readme(readme):
    script = ROOT / ".ci" / "run"
    shell = "".join(code for language, code in blocks(readme) if language == "bash")
    commands = re.findall(r"^pip install .*&&.*$", shell, re.M)
    assert commands == ["pip install . && hanjax demo", 'pip install ".[test]" && pytest']
    assert not script.exists() or "README.md" in script.read_text()  # it reads them there
