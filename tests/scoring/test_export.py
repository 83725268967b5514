"""The exported program says what hanjax says, where there is no hanjax; its description is true."""

import inspect
import json
import subprocess
import sys
import textwrap

import jax
import numpy as np
import pytest
from jax import export

import hanjax
from hanjax.api import prepare
from hanjax.api.scoring import score_encoded
from hanjax.data.encoding import Encoding
from hanjax.errors import DataError, RunError
from hanjax.evaluation.calibration import Calibration
from hanjax.run import Run
from hanjax.scoring.export import export_scoring, scoring_inputs
from tests import trained
from tests.nn.examples import drawn


def read(folder):
    """The program and its description."""
    return export.deserialize(bytearray((folder / "scoring.bin").read_bytes())), json.loads(
        (folder / "scoring.json").read_text()
    )


def assert_same(found, scores, batch):
    """What the program says of each sample, member and window is what stands in the scores."""
    columns = [name for name in scores.accounts if name.startswith("probability")]
    np.testing.assert_allclose(found["probability"], scores.accounts[columns], rtol=0, atol=1e-6)
    np.testing.assert_allclose(found["raw_score"], scores.accounts["raw_score"], rtol=0, atol=1e-6)
    b, k = np.nonzero(batch.members)
    for name in ("score", "share"):
        np.testing.assert_allclose(found[name][b, k], scores.individuals[name], rtol=0, atol=1e-6)
        assert not found[name][batch.members == 0].any()
    attention = found["attention"][batch.member_windows[b, k]]
    np.testing.assert_allclose(attention, np.stack(scores.individuals["attention"]), rtol=0, atol=1e-6)


def snippet():
    """The code that the documentation tells to run where hanjax is not."""
    text = inspect.getdoc(export_scoring)
    code = textwrap.dedent(text[text.index("    import json") : text.index("The numbers of rows")])
    assert "hanjax" not in code
    return code


def test_where_hanjax_is_not_the_program_says_the_same(tmp_path):
    run = trained.trained()
    assert export_scoring(run, tmp_path / "portable") == tmp_path / "portable"
    np.savez(tmp_path / "inputs.npz", **scoring_inputs(run, trained.panel()))
    more = "import sys; assert not {'hanjax', 'flax', 'pandas'} & set(sys.modules); np.savez('found.npz', **found)"
    subprocess.run([sys.executable, "-W", "error", "-c", snippet() + more], cwd=tmp_path, check=True)
    with np.load(tmp_path / "found.npz") as found:
        assert_same(dict(found), hanjax.score(run, trained.market()), trained.panel().batch)


EVERYTHING = dict(
    volumes=True,
    gaps=True,
    window_ages=True,
    member_numbers=("periods_since_arrival",),
    horizons=(1, 4),
    period_input="both",
    time="gated",
    bidirectional=True,
    aggregator="maximum",
    account_head=True,
    ensemble=2,
)
STAIRS = Calibration("isotonic", logits=(-3.0, -0.1, 0.1, 2.0), probabilities=(0.01, 0.02, 0.3, 0.9))
LINE = Calibration("platt", slope=0.7, intercept=-0.4)


@pytest.mark.parametrize(
    ("settings", "calibrations"),
    [
        pytest.param(EVERYTHING, None, marks=pytest.mark.slow),
        (EVERYTHING, (STAIRS, LINE)),
        (dict(period_input="counts", volumes=True, account_numbers=(), exclude=("employees", "revenue")), None),
    ],
)
def test_whatever_a_model_reads_goes_in(tmp_path, settings, calibrations):
    run, panel = prepare(trained.market(), trained.CONFIG.replace(**settings))
    run.params = drawn(jax.eval_shape(run.network.init, jax.random.key(0)))
    run.calibrations = calibrations
    program, _ = read(export_scoring(run, tmp_path))
    found = jax.tree.map(np.asarray, program.call(scoring_inputs(run, panel)))
    assert_same(found, score_encoded(run, panel), panel.batch)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    trained.trained().write(folder / "run")
    return read(export_scoring(Run.read(folder / "run"), folder / "portable", platforms=("cpu", "cuda", "tpu")))


def test_any_number_of_rows_goes_in(exported):
    program, _ = exported
    whole = scoring_inputs(trained.trained(), trained.panel())
    some = whole | {name: whole[name][5:8] for name in ("members", "member_windows", "account", "account_numbers")}
    some |= {name: np.pad(whole[name], ((0, 3), (0, 0))) for name in ("sequences", "windows", "individuals")}
    all_rows, rows = program.call(whole), program.call(some)
    for name in ("probability", "score", "share"):
        np.testing.assert_allclose(rows[name], all_rows[name][5:8], rtol=0, atol=1e-6)


def test_the_description_is_that_of_the_program(exported):
    program, about = exported
    run = trained.trained()
    assert program.platforms == tuple(about["platforms"]) == ("cpu", "cuda", "tpu")
    for group, tree, avals in (
        ("inputs", program.in_tree, program.in_avals),
        ("outputs", program.out_tree, program.out_avals),
    ):
        arrays = jax.tree.unflatten(tree, avals)
        arrays = arrays[0][0] if group == "inputs" else arrays
        described = {name: ([*map(str, one["shape"])], one["dtype"]) for name, one in about[group].items()}
        assert described == {name: ([*map(str, array.shape)], str(array.dtype)) for name, array in arrays.items()}
        assert all(len(one["about"]) > 20 for one in about[group].values())
    assert Encoding.from_dict(about["encoding"]) == run.encoding
    assert hanjax.Config.from_dict(about["config"]) == run.config
    assert about["positive_weight"] == run.positive_weight and about["horizons"] == [1]


def test_what_was_encoded_for_another_model_is_refused():
    run, config = trained.trained(), trained.CONFIG
    with pytest.raises(DataError, match=r"windows: the model takes \[\d+, 3\], got \[\d+, 2\]. Encode with its own"):
        scoring_inputs(run, trained.encoded(trained.market(), run.encoding, config.replace(window=2)))
    run, _ = prepare(trained.market(), config.replace(period_input="both", volumes=True))
    with pytest.raises(DataError, match="counts or count_windows are missing"):
        scoring_inputs(run, trained.encoded(trained.market(), run.encoding))


def test_a_run_without_parameters_is_refused(tmp_path):
    run, _ = prepare(trained.market(), trained.CONFIG)
    with pytest.raises(RunError, match="no trained parameters"):
        export_scoring(run, tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
