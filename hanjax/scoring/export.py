"""A trained model as one file that runs with JAX alone, without hanjax, Flax or the code that made it."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jaxtyping import Array

from hanjax import __version__
from hanjax.errors import DataError, RunError
from hanjax.evaluation.calibration import Calibration
from hanjax.run import Run
from hanjax.types import Batch, Panel

FORMAT = 1
"""Raised whenever names, shapes or meanings of inputs or outputs change."""

_FREE = ("S", "M", "C", "I", "A", "B")
"""Axes that may have any length: rows of tables, and samples. The others are the model's own."""

_INPUTS = {
    "sequences": ("S L", "int32", "distinct activities of one individual in one period, oldest first, as positions in "
                  "encoding.activities + 2; 1 is an unknown one, 0 is padding on the right; row 0 is empty"),
    "windows": ("M W", "int32", "distinct windows of one individual, oldest period first, as rows of sequences; 0 is a "
                "quiet period; row 0 is empty"),
    "individuals": ("I F", "int32", "distinct static categories, as positions among their levels in "
                    "encoding.categories + 2; 1 is an unknown level; row 0 is empty"),
    "accounts": ("A G", "float32", "distinct static numbers, scaled by encoding.numbers; row 0 is empty"),
    "members": ("B K", "int32", "individuals of each sample in order of arrival, as rows of individuals; 0 is nobody"),
    "member_windows": ("B K", "int32", "what each of them did, as rows of windows; 0 is nothing"),
    "account": ("B", "int32", "account of each sample, as a row of accounts"),
    "counts": ("C V", "float32", "distinct volumes of one individual in one period, by activity; row 0 is empty"),
    "count_windows": ("M W", "int32", "volumes of the periods of each window, as rows of counts"),
    "gaps": ("S L", "float32", "log(1 + hours) since the previous activity, in steps of 1/4; -1 for the very first"),
    "window_ages": ("M W", "int32", "how many periods back each period of a window lies; 0 for quiet ones"),
    "account_numbers": ("B N", "float32", "of the account as of the cut-off, scaled by encoding.features and .as_of"),
    "member_numbers": ("B K P", "float32", "of each member as of the cut-off, scaled by encoding.of_members"),
    "segments": ("B Q", "int32", "levels of each sample, as positions among those of encoding.segments + 2; 1 is an "
                 "unknown level, 0 a missing one"),
}  # fmt: skip
"""Axes, type and meaning of all that may go in."""

_OUTPUTS = {
    "probability": (
        "B H",
        "float32",
        "of a conversion within each of the horizons, without the class weight, calibrated if the model is",
    ),
    "raw_score": ("B", "float32", "of a conversion within the first horizon, the class weight left in"),
    "score": ("B K", "float32", "probability of the group made of each member alone; 0 where nobody is"),
    "share": ("B K", "float32", "of each member in the aggregation of the account"),
    "attention": ("M W", "float32", "shares of the periods of each window; a member's are at its member_windows"),
}
"""Axes, type and meaning of what comes out."""


def export_scoring(run: Run, folder: str | Path, *, platforms: Sequence[str] = ("cpu",)) -> Path:
    """Writes the scoring of a trained model as a program for JAX, and a description of what goes in and comes out.

    ``scoring.bin`` is the program with its parameters, as ``jax.export`` serializes it (StableHLO), so that reading it
    runs no code. ``scoring.json`` holds names, shapes, types and meanings of inputs and outputs, the settings, the
    encoding (vocabulary, levels, scales) and the class weight. Where only JAX, NumPy and flatbuffers are installed:

        import json
        import numpy as np
        from jax import export

        with open("portable/scoring.bin", "rb") as file:
            program = export.deserialize(bytearray(file.read()))
        about = json.load(open("portable/scoring.json"))
        with np.load("inputs.npz") as file:  # np.savez("inputs.npz", **scoring_inputs(run, panel))
            found = program.call({name: file[name] for name in about["inputs"]})
        print(found["probability"])

    The numbers of rows are free; each new combination of them is compiled once. JAX promises that its versions of the
    next six months read the program, so keep the run folder, too, to export it anew.

    Args:
        run: a trained model.
        folder: where the two files go; it is made, and files of these names are replaced.
        platforms: what the program will run on, of "cpu", "cuda", "rocm" and "tpu"; they need not be here.

    Returns:
        The folder.

    Raises:
        RunError: if the run is not trained.
        ImportError: if the package flatbuffers, which JAX serializes with, is not installed.

    Example:
        >>> import hanjax, tempfile
        >>> from hanjax.scoring.export import export_scoring
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> run = hanjax.fit(market.tables, config=hanjax.Config().replace(epochs=1, test=0.2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sorted(path.name for path in export_scoring(run, folder).iterdir())
        ['scoring.bin', 'scoring.json']

    Source: https://docs.jax.dev/en/latest/export/export.html
    """
    if run.params is None:
        raise RunError("The run holds no trained parameters. Train it with `fit` first.")
    lengths = _lengths(run)
    free = dict(zip(_FREE, export.symbolic_shape(", ".join(_FREE)), strict=True))
    shapes = {
        name: jax.ShapeDtypeStruct([(free | lengths)[axis] for axis in axes.split()], dtype)
        for name, (axes, dtype, _) in _inputs(run).items()
    }
    program = export.export(jax.jit(_scoring(run)), platforms=list(platforms))(shapes)
    about = {
        "format": FORMAT,
        "hanjax": __version__,
        "jax": jax.__version__,
        "platforms": program.platforms,
        "inputs": _described(_inputs(run), lengths),
        "outputs": _described(_OUTPUTS, lengths),
        "horizons": run.config.panel.horizons,
        "positive_weight": run.positive_weight,
        "config": run.config.to_dict(),
        "encoding": run.encoding.to_dict(),
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scoring.bin").write_bytes(program.serialize())
    (folder / "scoring.json").write_text(json.dumps(about, indent=2) + "\n")
    return folder


def scoring_inputs(run: Run, panel: Panel) -> dict[str, np.ndarray]:
    """The samples of a panel as the exported program of a run takes them.

    Args:
        run: the model.
        panel: samples that were encoded for it: ``hanjax.encode(data, run.config.panel, encoding=run.encoding)``.

    Returns:
        The arrays by name, for ``numpy.savez``.

    Raises:
        DataError: if the panel lacks what the model reads, or was encoded for another one.
    """
    run.sizes.check(panel.batch, run.config.model)
    lengths, found = _lengths(run), {}
    for name, (axes, dtype, _) in _inputs(run).items():
        array = np.asarray(getattr(panel.batch, name), dtype)
        fixed = [lengths.get(axis, size) for axis, size in zip(axes.split(), array.shape, strict=True)]
        if list(array.shape) != fixed:
            raise DataError(
                f"{name}: the model takes {fixed}, got {list(array.shape)}. Encode with its own settings: "
                "hanjax.encode(data, run.config.panel, encoding=run.encoding)."
            )
        found[name] = array
    return found


def _scoring(run: Run) -> Callable[[dict[str, Array]], dict[str, Array]]:
    """What is exported: arrays by name to arrays by name."""
    network, params, chances = run.network, jax.tree.map(jnp.asarray, run.params), _chances(run)

    def scoring(inputs: dict[str, Array]) -> dict[str, Array]:
        n = inputs["account"].shape[0]
        batch = Batch(**inputs, label=jnp.zeros((n, len(chances))), mask=jnp.ones(n, bool))
        windows = network.encode_windows(params, network.encode_periods(params, batch).value, batch)
        scored = network.score(params, windows.value, batch)
        return {
            "probability": jnp.stack([chance(scored.logit[:, h]) for h, chance in enumerate(chances)], axis=1),
            "raw_score": jax.nn.sigmoid(scored.logit[:, 0]),
            "score": jnp.where(batch.member_mask, chances[0](scored.member_logit[..., 0]), 0.0),
            "share": scored.member_share,
            "attention": windows.weights,
        }

    return scoring


def _chances(run: Run) -> list[Callable[[Array], Array]]:
    """What makes probabilities of the log-odds of each horizon."""
    shift = float(np.log(run.positive_weight))

    def chance(calibration: Calibration | None) -> Callable[[Array], Array]:
        if calibration is not None and calibration.method == "isotonic":
            # The knots were log-odds in float32 before the weight was taken out, and are exact where it is back in.
            knots, heights = np.array(calibration.logits) + shift, np.array(calibration.probabilities)
            return lambda logit: jnp.interp(logit, knots.astype(logit.dtype), heights.astype(logit.dtype))
        slope, intercept = (1.0, 0.0) if calibration is None else (calibration.slope, calibration.intercept)
        return lambda logit: jax.nn.sigmoid(slope * logit + (intercept - slope * shift))

    return [chance(one) for one in run.calibrations or [None] * run.sizes.horizons]


def _lengths(run: Run) -> dict[str, int]:
    """How long the axes are that are the model's own."""
    numbers = sum(1 + scale.indicator for scale in run.encoding.numbers)
    return {
        "L": run.config.panel.max_activities,
        "W": run.config.panel.window,
        "F": len(run.sizes.levels),
        "G": numbers,
        "K": run.sizes.max_members,
        "V": run.sizes.vocabulary,
        "N": run.sizes.numbers - numbers,
        "P": run.sizes.member_numbers,
        "Q": len(run.sizes.segments),
        "H": run.sizes.horizons,
    }


def _inputs(run: Run) -> dict[str, tuple[str, str, str]]:
    """What the run's network reads, of all that may go in."""
    model, lengths = run.config.model, _lengths(run)
    unread = {
        "counts": model.period_input == "sequence",
        "count_windows": model.period_input == "sequence",
        "gaps": model.time == "none",
        "window_ages": not run.sizes.window_ages,
        "account_numbers": not lengths["N"],
        "member_numbers": not lengths["P"],
        "segments": not lengths["Q"],
    }
    return {name: about for name, about in _INPUTS.items() if not unread.get(name)}


def _described(arrays: dict[str, tuple[str, str, str]], lengths: dict[str, int]) -> dict[str, Any]:
    return {
        name: {"shape": [lengths.get(axis, axis) for axis in axes.split()], "dtype": dtype, "about": about}
        for name, (axes, dtype, about) in arrays.items()
    }
