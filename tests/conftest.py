"""The harness of every test: JAX on the CPU, in float32, and as strict as it can be made.

Most of the time goes into compiling, so the tests run programs that the compiler hardly optimizes;
JAX_DISABLE_MOST_OPTIMIZATIONS=0 makes it work as hard as for users. With JAX_COMPILATION_CACHE_DIR=FOLDER and
JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0.1 a second run is faster. That is not the default: JAX does not write that
cache atomically, and some tests kill processes. Nor are the shapes in annotations enforced: the network takes NumPy's
arrays where they say JAX's.
"""

import gc
import os
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # before JAX is imported anywhere
if version("jaxlib").startswith("0.10."):  # for all programs, as hanjax asks for it for its own; later ones refuse it
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # in the environment, so that examples inherit it
os.environ.setdefault("MPLBACKEND", "agg")

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Lets the collector of garbage pass over what stays, such as all modules: while JAX traces, it runs often."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds --data, which stands for the variable HANJAX_DATA and wins over it."""
    parser.addoption("--data", metavar="FOLDER", help="folder of the public data sets (default: $HANJAX_DATA)")


def public(pytestconfig: pytest.Config, name: str) -> Path:
    """Folder of one public data set, in the folder that --data=FOLDER or HANJAX_DATA names; skips without."""
    root = pytestconfig.getoption("data") or os.environ.get("HANJAX_DATA")
    if not root:
        pytest.skip("neither --data=FOLDER nor HANJAX_DATA says where the public data sets are")
    folder = Path(root).expanduser() / name
    if not folder.is_dir():
        pytest.skip(f"there is no folder {name!r} in {root}")
    return folder


@pytest.fixture(scope="session")
def asfi_folder(pytestconfig: pytest.Config) -> Path:
    """Folder of the ASF Incubator data set; a test that asks for it is skipped without."""
    return public(pytestconfig, "asfi")


@pytest.fixture(scope="session")
def crm_folder(pytestconfig: pytest.Config) -> Path:
    """Folder of the opportunities; a test that asks for it is skipped without."""
    return public(pytestconfig, "crm")
