"""The command line: each command does what its function does, and whatever goes wrong is one line on stderr."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hanjax
from hanjax import cli
from hanjax.cli import main, parsing
from tests import trained

ROOT = Path(__file__).parents[1]
demo = sys.modules["hanjax.cli.demo"]  # the package has a command of this name


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the market's tables in ``data``, the settings in ``settings.json`` and a trained run in ``run``."""
    place = tmp_path_factory.mktemp("cli")
    (place / "data").mkdir()
    for name, table in trained.market()._asdict().items():
        if table is not None:
            table.to_parquet(place / "data" / f"{name}.parquet", index=False)
    trained.CONFIG.write(place / "settings.json")
    arguments = ["fit", place / "data", "--out", place / "run", "--config", place / "settings.json"]
    assert main([str(argument) for argument in arguments]) == 0
    return place


def run(*arguments):
    return main([str(argument) for argument in arguments])


def same_scores(folder, **options):
    """The scores in a folder are those of the function."""
    found = hanjax.types.Scores(*(pd.read_parquet(folder / f"{n}.parquet") for n in ("accounts", "individuals")))
    trained.assert_same_scores(found, hanjax.score(trained.trained(), trained.market(), **options))
    return found


def test_fit_is_the_functions(place, capsys):
    again = hanjax.load(place / "run")
    assert again.config == trained.CONFIG and again.encoding == trained.trained().encoding
    scores = [hanjax.score(one, trained.market()) for one in (again, trained.trained())]
    trained.assert_same_scores(*scores)


@pytest.mark.slow
def test_sweep_is_the_functions(place, tmp_path, capsys):
    swept = ["sweep", place / "data", "--out", tmp_path / "some", "--config", place / "settings.json", "--epochs", "1"]
    vary = ["--vary", "learning-rate=0.01,0.003", "--vary", "seed=0..4"]
    assert run(*swept, *vary, "--random", "2", "--together", "2") == 0
    table = pd.read_csv(tmp_path / "some" / "table.csv", index_col="model")
    assert list(table.columns[:2]) == ["learning_rate", "seed"] and len(table) == 2
    best = table["validation_auc"].idxmax()
    printed = capsys.readouterr().out
    assert "Population of 2 models" in printed and f"hanjax evaluate {tmp_path}/some/{best:03d} " in printed
    again = hanjax.load(tmp_path / "some" / f"{best:03d}")
    assert again.config.train.seed == table.loc[best, "seed"] and again.config.train.split_seed == 0
    assert run(*swept, *vary, "--random", "2") == 1 and "resume" in capsys.readouterr().err
    assert run(*swept, *vary, "--random", "2", "--resume") == 0


def test_options_stand_over_the_file(place, tmp_path):
    (tmp_path / "few.toml").write_text("[train]\nepochs = 7\nvalidation = 0.3\n[panel]\nwindow = 3\n")
    parser = parsing.command_parser("fit", "", out="")
    for kind in (hanjax.PanelConfig, hanjax.ModelConfig, hanjax.TrainConfig):
        parsing.add_options(parser, kind, "")
    arguments = parser.parse_args(["--config", str(tmp_path / "few.toml"), "--epochs", "1", "--test", "5"])
    found = parsing.chosen_settings(arguments, hanjax.Config.paper())
    assert found == hanjax.Config().replace(epochs=1, validation=0.3, window=3, test=5)
    assert parsing.chosen_settings(parser.parse_args([]), hanjax.Config.paper()) == hanjax.Config.paper()


def test_score_writes_what_is_documented(place, tmp_path, capsys):
    assert run("score", place / "run", place / "data", "--out", tmp_path) == 0
    found = same_scores(tmp_path)
    assert list(found.accounts) == [
        "account_id", "cutoff", "probability", "raw_score", "rank", "n_members", "attention", "name", "industry"
    ]  # fmt: skip
    assert list(found.individuals) == [
        "account_id", "individual_id", "cutoff", "score", "share", "rank_in_account", "attention"
    ]  # fmt: skip
    assert len(found.accounts["attention"][0]) == 3
    printed = capsys.readouterr().out
    assert "most likely accounts at the latest cut-off, 2021-03-14" in printed
    latest = found.accounts[found.accounts["cutoff"] == found.accounts["cutoff"].max()]
    assert latest.loc[latest["rank"] == 1, "account_id"].iloc[0] in printed
    assert f"{len(found.accounts)} scores of accounts, {len(found.individuals)} of individuals" in printed


def test_score_as_of_a_date_and_raw(place):
    assert run("score", place / "run", place / "data", "--as-of", "2021-02-17", "--raw") == 0
    found = same_scores(place / "run" / "scores", as_of="2021-02-17", raw=True)
    assert found.accounts["cutoff"].dt.strftime("%Y-%m-%d").unique().tolist() == ["2021-02-14"]
    np.testing.assert_array_equal(found.accounts["probability"], found.accounts["raw_score"])


def test_scores_are_appended_to(place, tmp_path, capsys):
    shutil.copytree(place / "data", tmp_path / "data")
    whole = {name: pd.read_parquet(tmp_path / "data" / f"{name}.parquet") for name in ("events", "accounts")}
    known = whole["events"][["timestamp", "known_at"]].max(axis="columns")
    whole["events"][known < pd.Timestamp("2021-03-01", tz="UTC")].to_parquet(tmp_path / "data" / "events.parquet")
    scoring = ("score", place / "run", tmp_path / "data", "--out", tmp_path / "scores")
    assert run(*scoring) == 0
    whole["events"].to_parquet(tmp_path / "data" / "events.parquet")
    capsys.readouterr()
    assert run(*scoring, "--append") == 0
    assert "unchanged" in capsys.readouterr().out
    same_scores(tmp_path / "scores")
    assert run(*scoring, "--append", "--as-of", "2021-02-17") == 1
    one_line(capsys, "--append: scores of every week are added to")


def test_rank_prints_and_writes_whom_to_call(place, tmp_path, capsys):
    options = ("--as-of", "2021-02-17", "--calls", "3", "--influence", "2", "--threshold", "0.001")
    assert run("rank", place / "run", place / "data", *options, "--out", tmp_path) == 0
    printed = capsys.readouterr().out
    ranking = hanjax.rank(place / "run", place / "data", as_of="2021-02-17", influence=2)
    assert repr(ranking) in printed and "3 calls, first of all:" in printed and "have reached 0.001" in printed
    tables = {path.stem: pd.read_csv(path) for path in tmp_path.glob("*.csv")}
    assert set(tables) == {"accounts", "individuals", "calls", "crossings"}
    assert tables["accounts"]["account_id"].tolist() == ranking.accounts["account_id"].tolist()
    assert (tables["calls"]["action"] == "call").sum() == 3
    assert tables["individuals"]["influence"].notna().sum() == ranking.accounts["n_members"].head(2).sum()


def test_evaluate_compares_with_another_run(place, capsys):
    assert run("evaluate", place / "run", place / "data", "--against", place / "run", "--before", "2021-03-01") == 0
    printed = capsys.readouterr().out
    assert "Both models on" in printed and "0.0000" in printed and "High" in printed


@pytest.mark.slow
def test_walk_forward_writes_a_run_for_each_step(place, tmp_path, capsys):
    options = ("--start", "2021-02-14", "--every", "2", "--config", place / "settings.json", "--epochs", "1")
    assert run("walk-forward", place / "data", *options, "--out", tmp_path / "walk") == 0
    assert "All steps together" in capsys.readouterr().out
    steps = pd.read_csv(tmp_path / "walk" / "steps.csv")
    assert len(steps) == 2 and (tmp_path / "walk" / "2021-02-28" / "model.npz").exists()
    assert (tmp_path / "walk" / "evaluation" / "lift.csv").exists()


def test_calibrate_and_check_say_what_they_found(place, tmp_path, capsys):
    assert run("calibrate", place / "run", place / "data", "--out", tmp_path / "calibrated") == 0
    assert "probabilities are calibrated (platt)" in capsys.readouterr().out
    assert hanjax.load(tmp_path / "calibrated").calibrations and not hanjax.load(place / "run").calibrations
    other = (tmp_path / "calibrated" / "calibration.json").read_bytes()
    assert (
        run("calibrate", place / "run", place / "data", "--out", tmp_path / "calibrated", "--method", "isotonic") == 1
    )
    assert "calibrated already holds a run. Choose another folder." in capsys.readouterr().err
    assert (tmp_path / "calibrated" / "calibration.json").read_bytes() == other
    assert run("calibrate", tmp_path / "calibrated", place / "data", "--out", tmp_path / "calibrated") == 0  # its own
    capsys.readouterr()
    assert run("check", place / "run", place / "data", "--out", tmp_path) == 0
    assert capsys.readouterr().out == (tmp_path / "verdicts.txt").read_text() != ""


def test_evaluate_prints_and_writes_the_figures(place, tmp_path, capsys):
    assert run("evaluate", place / "run", place / "data", "--out", tmp_path / "figures") == 0
    expected = hanjax.evaluate(place / "run", place / "data")
    assert repr(expected) in capsys.readouterr().out
    assert json.loads((place / "run" / "metrics.json").read_text())["test"] == expected.metrics
    over_time = pd.read_csv(tmp_path / "figures" / "over_time.csv")
    assert over_time["samples"].sum() == expected.metrics["samples"]
    accounts = pd.read_parquet(tmp_path / "figures" / "accounts.parquet")
    np.testing.assert_array_equal(accounts["label"], expected.scores.accounts["label"])
    assert (tmp_path / "figures" / "individuals.parquet").exists()


def test_plot_draws_the_accounts_and_the_training(place, tmp_path, capsys):
    account = trained.panel().samples["account_id"].iloc[0]
    assert run("plot", place / "run", place / "data", "--account", account, "--out", tmp_path / "plots") == 0
    names = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert names == [f"account-{account}.png", "history.png"]
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)
    other = trained.panel().samples["account_id"].iloc[-1]
    assert run("plot", place / "run", place / "data", "--account", other, "--out", tmp_path / "plots") == 0
    assert f"account-{account}.png" not in capsys.readouterr().out  # it was drawn before
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (tmp_path / "plots").iterdir())
    assert run("plot", place / "run", place / "data", "--account", "nobody") == 1
    assert "no score for 'nobody'" in capsys.readouterr().err


def test_an_account_of_any_name_has_a_picture(place, tmp_path):
    shutil.copytree(place / "data", tmp_path / "data")
    first = trained.panel().samples["account_id"].iloc[0]
    for path in (tmp_path / "data").iterdir():
        table = pd.read_parquet(path)
        table.assign(account_id=table["account_id"].replace(first, "../a b")).to_parquet(path, index=False)
    out = tmp_path / "plots"
    assert run("plot", place / "run", tmp_path / "data", "--account", "../a b", "--out", out) == 0
    assert sorted(path.name for path in out.iterdir()) == ["account-.._a_b.png", "history.png"]


def test_describe_prints_and_writes_the_profile(place, tmp_path, capsys):
    assert run("describe", place / "data", "--window", "3", "--out", tmp_path / "about") == 0
    expected = str(hanjax.describe(trained.market(), hanjax.PanelConfig(window=3)))
    printed = capsys.readouterr().out
    assert printed == expected + "\n" == (tmp_path / "about" / "profile.txt").read_text()


def test_simulate_writes_a_market(tmp_path, capsys):
    assert run("simulate", tmp_path / "market", "--accounts", "12", "--weeks", "8", "--conversions", "0.3") == 0
    found = hanjax.read(tmp_path / "market")
    expected = hanjax.simulate(accounts=12, weeks=8, conversions=0.3).tables
    assert found.events.num_rows == len(expected.events) and "12 accounts" in capsys.readouterr().out
    assert run("simulate", tmp_path / "market", "--accounts", "13") == 1
    assert "Give an empty or new folder" in capsys.readouterr().err
    stored = tmp_path / "market" / "market.json"  # serves as settings
    assert run("simulate", "--out", tmp_path / "again", "--config", stored, "--seed", "0") == 0
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "again" / "events.parquet"), expected.events)
    assert run("simulate", tmp_path / "third", "--accounts", "0") == 1
    assert "accounts: expected an integer of at least 1, got 0" in capsys.readouterr().err


PARTS = ["evaluation", "market", "plots", "profile.txt", "report.html", "run", "scores"]


@pytest.mark.slow
def test_the_demo_goes_the_whole_way_and_goes_on_after_an_interruption(place, tmp_path, monkeypatch, capsys):
    asked = []

    def simulate(argv):  # the usual market, for which everything is compiled already
        asked.append(argv)
        shutil.copytree(place / "data", argv[0])
        (Path(argv[0]) / "market.json").write_text("{}")

    monkeypatch.setattr(demo, "simulate", simulate)
    monkeypatch.setattr(demo, "show_evaluation", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
    command = ["demo", "--quick", "--out", str(tmp_path / "demo"), "--config", str(place / "settings.json")]
    assert run(*command) == 130
    assert f"Start again with: hanjax {shlex.join(command)}" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr(demo, "simulate", simulate)
    assert run(*command) == 0
    assert asked == [[str(tmp_path / "demo" / "market"), "--accounts", "300", "--conversions", "0.3"]]  # once
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == PARTS
    same_scores(tmp_path / "demo" / "scores")
    assert len(list((tmp_path / "demo" / "plots").glob("account-*.png"))) == 2
    assert "Everything lies in" in capsys.readouterr().out


def test_the_demo_takes_ones_own_tables(place, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "report", lambda argv: Path(argv[-1]).write_text(""))  # it was written above
    command = ["demo", "--data", place / "data", "--out", tmp_path / "demo", "--config", place / "settings.json"]
    assert run(*command) == 0
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == [name for name in PARTS if name != "market"]


class Interrupt:
    def __call__(self, row, *, epochs, done):
        raise KeyboardInterrupt


def test_ctrl_c_says_how_to_go_on_and_that_works(place, tmp_path, monkeypatch, capsys):
    out = tmp_path / "a run"  # a name that has to be quoted
    with monkeypatch.context() as patch:
        patch.setattr("hanjax.training.fit.tqdm_progress", lambda epochs: Interrupt())
        assert run("fit", place / "data", "--out", out, "--config", place / "settings.json") == 130
    printed = capsys.readouterr().err
    assert "Interrupted. Continue with: hanjax fit" in printed and "Traceback" not in printed
    command = shlex.split(printed.split("Continue with: hanjax ")[1])
    assert command[-1] == "--resume" and main(command) == 0
    assert hanjax.load(out).history["loss"].tolist() == trained.trained().history["loss"].tolist()
    monkeypatch.setattr("hanjax.api.describe", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert run("describe", place / "data") == 130
    assert "Start again with: hanjax describe" in capsys.readouterr().err


def one_line(capsys, *parts):
    """What was printed is one line of explanation."""
    printed = capsys.readouterr()
    assert len(printed.err.strip().splitlines()) == 1 and "Traceback" not in printed.err, printed.err
    assert all(part in printed.err for part in parts), printed.err
    assert printed.out == ""


def test_errors_are_one_line(place, tmp_path, capsys):
    capsys.readouterr()
    assert run("describe", tmp_path / "nowhere") == 1
    one_line(capsys, "hanjax describe: ", "there is no such folder")
    assert run("fit", place / "data", "--out", place / "run", "--config", place / "settings.json") == 1
    one_line(capsys, "hanjax fit: ", "already holds a run")
    assert run("fit", place / "data", "--out", tmp_path / "new", "--window", "0") == 1
    one_line(capsys, "hanjax fit: window: expected an integer of at least 1, got 0")
    assert run("fit", place / "data", "--config", tmp_path / "nowhere.json") == 1
    one_line(capsys, "there is no such file")
    assert run("score", tmp_path, place / "data") == 1
    one_line(capsys, "hanjax score: ", "is not a run folder")
    assert run("score", place / "run", place / "data", "--as-of", "2031-01-01") == 1
    one_line(capsys, "lies outside the log")
    assert run("score", place / "run", place / "data", "--as-of", "soon") == 1
    one_line(capsys, "'soon' is not a date")


def test_a_trained_model_keeps_its_settings(place, tmp_path, capsys):
    (tmp_path / "columns.json").write_text(json.dumps({"panel": {"columns": [["activity", "what"]]}}))
    shutil.copytree(place / "data", tmp_path / "renamed")
    events = pd.read_parquet(tmp_path / "renamed" / "events.parquet").rename(columns={"activity": "what"})
    events.to_parquet(tmp_path / "renamed" / "events.parquet", index=False)
    options = ["--config", tmp_path / "columns.json", "--out", tmp_path / "scores"]
    assert run("score", place / "run", tmp_path / "renamed", *options) == 0
    same_scores(tmp_path / "scores")
    capsys.readouterr()
    assert run("score", place / "run", tmp_path / "renamed") == 1
    one_line(capsys, "the column 'activity' is missing")
    (tmp_path / "window.json").write_text('{"panel": {"window": 2}}')
    assert run("score", place / "run", place / "data", "--config", tmp_path / "window.json") == 1
    one_line(capsys, "a trained model keeps its settings; only columns, strays and timezone can change, not window.")


def test_a_trained_model_takes_the_file_of_its_own_settings(place, tmp_path):
    for settings in (place / "settings.json", place / "run" / "config.json"):
        assert run("score", place / "run", place / "data", "--config", settings, "--out", tmp_path / "scores") == 0
        same_scores(tmp_path / "scores")


def test_files_that_cannot_be_written_are_named(place, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for command in (["describe", place / "data"], ["score", place / "run", place / "data"]):
        assert run(*command, "--out", tmp_path / "file") == 1
        printed = capsys.readouterr().err
        assert str(tmp_path / "file") in printed and "Traceback" not in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "data", "--window", "three"], "argument --window: 'three' is not int"),
        (["fit", "data", "--columns", "what"], "argument --columns: 'what' is not standard=theirs,..."),
        (["fit", "data", "--keep", "middle"], "invalid choice: 'middle'"),
        (["fit", "data", "--windw", "3"], "unrecognized arguments: --windw"),
        (["fit"], "the following arguments are required: DATA"),
        (["simulate"], "where to? Name a folder."),
    ],
)
def test_wrong_usage_is_explained(arguments, message, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2 and message in capsys.readouterr().err


def test_unknown_commands_are_refused(capsys):
    assert main(["fti"]) == 2
    printed = capsys.readouterr().err
    assert (
        "there is no command 'fti'; there are demo, simulate, simulate-company, describe, labels, features, enc"
        in printed
    )


WITHOUT_SETTINGS = ("labels", "features", "compare", "impact", "registry", "run")


def test_help_and_version(capsys):
    for arguments in ([], ["-h"], ["--help"]):
        assert main(arguments) == 0
        text = capsys.readouterr().out
        assert all(f"\n  {command} " in text for command in cli.COMMANDS)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"hanjax {hanjax.__version__}\n"
    for command in cli.COMMANDS:
        with pytest.raises(SystemExit) as left:
            main([command, "--help"])
        text = capsys.readouterr().out
        assert left.value.code == 0 and f"usage: hanjax {command} " in text
        assert ("--out" in text) == (command not in ("impact", "registry", "run"))
        assert ("--config" in text) == (command not in WITHOUT_SETTINGS)


def test_it_runs_from_the_source_folder():
    command = [sys.executable, "-m", "hanjax"]
    done = subprocess.run([*command, "--version"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"hanjax {hanjax.__version__}\n")
    done = subprocess.run([*command, "describe", "nowhere"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("hanjax describe: nowhere") and done.stdout == ""


@pytest.mark.slow
def test_an_export_with_other_names_becomes_a_report_as_the_readme_says(tmp_path, monkeypatch):
    text = (ROOT / "README.md").read_text().split("## From an export to a report")[1].split("![")[0]
    lines = [line.strip() for line in text.splitlines() if line.startswith("    hanjax ")]
    assert 3 <= len(lines) < 10
    theirs = dict(pair.split("=") for pair in lines[0].split()[-1].split(","))
    market = hanjax.simulate(accounts=80, weeks=20, conversions=0.4, seed=1).tables
    (tmp_path / "export").mkdir()
    for name in ("events", "individuals", "accounts"):
        table = getattr(market, name).rename(columns=theirs)
        assert set(theirs.values()) & set(table)
        table.to_csv(tmp_path / "export" / f"{name}.csv", index=False)
    monkeypatch.chdir(tmp_path)
    for line in lines:
        assert main(shlex.split(line)[1:]) == 0, line
    assert (tmp_path / "run" / "report.html").stat().st_size > 100_000
    assert (pd.read_csv(tmp_path / "run" / "ranking" / "calls.csv")["action"] == "call").sum() == 20
