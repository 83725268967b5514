"""What a benchmark ran on, for the record beside its figures."""

import os
import platform
from typing import Any


def describe_machine() -> dict[str, Any]:
    """Processor, cores, accelerator and versions."""
    import flax
    import jax
    import numpy as np

    processor = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        processor = names[0] if names else processor
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "devices": [device.device_kind for device in jax.devices()],
        "python": platform.python_version(),
        "jax": jax.__version__,
        "flax": flax.__version__,
        "numpy": np.__version__,
    }


def peak_memory() -> float:
    """The most memory that this process ever held, in GiB, as Linux counts it; NaN elsewhere."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 2**20
    except (OSError, StopIteration):
        return float("nan")
