"""The harness of every test: JAX on the CPU, in float32, and as strict as it can be made.

Most of the time goes into compiling. JAX_COMPILATION_CACHE_DIR=FOLDER and
JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0.1 make the second run about three times as fast. They are not the default:
JAX does not write that cache atomically, and some tests kill processes. Nor are the shapes in annotations enforced: the
network takes NumPy's arrays where they say JAX's.
"""

import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # before JAX is imported anywhere
os.environ.setdefault("MPLBACKEND", "agg")

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session")
def asfi_folder() -> Path:
    """Folder of the ASF Incubator data set, `$HANJAX_DATA/asfi`; a test that asks for it is skipped without."""
    root = os.environ.get("HANJAX_DATA")
    if not root:
        pytest.skip("HANJAX_DATA is not set: the folder of the public data sets")
    folder = Path(root) / "asfi"
    if not folder.is_dir():
        pytest.skip(f"HANJAX_DATA has no folder 'asfi': {root}")
    return folder
