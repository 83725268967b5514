"""The steps of a workflow: what each one did and how long it took, one line each."""

import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

Say = Callable[[str], object]
"""What is told each line, such as ``print``."""


class Steps:
    """Tells of steps, each with the time since the one before.

    Args:
        say: is told each line; None for silence.
        folder: where the tables of the steps are written.

    Example:
        >>> from hanjax.workflow.steps import Steps
        >>> lines = []
        >>> Steps(lines.append).done("labels", "12 labels")
        >>> lines[0].split()[0], lines[0].endswith("12 labels")
        ('labels', True)
    """

    def __init__(self, say: Say | None, folder: Path = Path()):
        """Starts the clock."""
        self.say, self.folder, self.since = say, folder, time.perf_counter()

    def done(self, name: str, text: str, **tables: pd.DataFrame) -> None:
        """Tells that a step is done, and writes its tables.

        Args:
            name: of the step.
            text: what came out, in a line.
            **tables: by name of the file, written as CSV.
        """
        for file, table in tables.items():
            self.folder.mkdir(parents=True, exist_ok=True)
            table.to_csv(self.folder / f"{file}.csv", index=False)
        now = time.perf_counter()
        if self.say is not None:
            self.say(f"{name:<12} {now - self.since:6.1f} s  {text}")
        self.since = now
