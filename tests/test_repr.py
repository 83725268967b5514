"""What notebooks show: well-formed, with the right numbers, and nothing in the data is read as HTML."""

import xml.etree.ElementTree as ElementTree

import pandas as pd
import pytest

import hanjax
from hanjax.notebook import html_of
from hanjax.run import Run
from hanjax.types import LeftOut, Scores
from tests import trained

SCRIPT = "<script>alert('&amp;')</script>"


def shown(thing):
    """The text of an object's HTML, and its tables as lists of rows; whatever is not well-formed raises."""
    root = ElementTree.fromstring(thing._repr_html_())
    assert not root.findall(".//script")
    tables = [[["".join(cell.itertext()) for cell in row] for row in table.iter("tr")] for table in root.iter("table")]
    return "".join(root.itertext()), tables


def test_a_panel_shows_its_sizes_and_what_was_left_out():
    panel = trained.panel()
    panel = panel._replace(left_out=(LeftOut("events", "too late", 1234, ("a", SCRIPT)),), notes=(f"Of {SCRIPT}.",))
    text, (sizes, left_out) = shown(panel)
    sizes = dict(zip(*sizes, strict=True))
    label = panel.batch.label[:, 0]
    assert sizes["samples"] == str(len(panel.samples)) and sizes["conversions"] == str((label == 1).sum())
    assert sizes["without an outcome"] == str(len(label) - (label == 0).sum() - (label == 1).sum())
    members = {member for row in panel.member_ids for member in row} - {-1}
    assert sizes["individuals"] == str(len(members)) and sizes["accounts"] == "24"
    assert sizes["cut-offs"] == str(len(set(panel.samples["cutoff"])))
    assert left_out[1] == ["events", "too late", "1234", f"a, {SCRIPT}"] and f"Of {SCRIPT}." in text
    assert str(panel.samples["cutoff"].max()) in text


def test_scores_show_the_first_of_the_ranking():
    scores = hanjax.score(trained.trained(), trained.market())
    text, (rows,) = shown(scores)
    last = scores.accounts["cutoff"].max()
    latest = scores.accounts[scores.accounts["cutoff"] == last]
    people = scores.individuals[scores.individuals["cutoff"] == last].set_index("account_id")
    assert f"of {len(latest)} accounts at {last}" in text and len(rows) == 1 + min(10, len(latest)) > 5
    for name, probability, individual, score in rows[1:]:
        account = latest.set_index("account_id").loc[name]
        own = people.loc[[name]].set_index("individual_id")["score"]
        assert probability == f"{account['probability']:,.4g}" and score == f"{own.max():,.4g}"
        assert own[individual] == own.max() and account["rank"] <= 10
    assert [float(row[1]) for row in rows[1:]] == sorted((float(row[1]) for row in rows[1:]), reverse=True)


def test_ids_are_no_html():
    cutoff = pd.Timestamp("2024-01-07", tz="UTC")
    accounts = pd.DataFrame({"account_id": [SCRIPT, "b"], "cutoff": cutoff, "probability": [0.25, 0.5]})
    people = pd.DataFrame({"account_id": [SCRIPT], "individual_id": ["<b>"], "cutoff": cutoff, "score": [0.125]})
    _, (rows,) = shown(Scores(accounts, people))
    assert rows[1:] == [["b", "0.5", "", ""], [SCRIPT, "0.25", "<b>", "0.125"]]


def test_no_scores_are_shown_as_none():
    scores = hanjax.score(trained.trained(), trained.market())
    text, tables = shown(Scores(scores.accounts[:0], scores.individuals[:0]))
    assert text == "Scores(accounts: 0 rows, individuals: 0 rows)" and not tables


def test_a_run_shows_what_was_trained_on_what_and_how_well_it_does():
    run = Run(**{**vars(trained.trained()), "metrics": {**trained.trained().metrics}})
    found = hanjax.evaluate(run, trained.market()).metrics
    text, (parts, settings) = shown(run)
    parts = {row[0]: dict(zip(parts[0], row, strict=True)) for row in parts[1:]}
    assert {name: int(part["accounts"]) for name, part in parts.items()} == run.split.value_counts().to_dict()
    assert parts["test"]["auc"] == f"{found['auc']:,.4g}" and parts["test"]["conversions"] == str(found["conversions"])
    assert parts["validation"]["auc"] == f"{run.metrics['validation']['auc']:,.4g}" and parts["train"]["auc"] == ""
    assert "gru_attention, 2 epochs" in text and f"class weight {run.positive_weight:.4g}" in text
    settings = dict(settings[1:])
    assert settings["window"] == "3" and settings["opt_out_activity"] == "unsubscribe email" and "loss" not in settings


def test_a_run_may_be_untrained_or_have_odd_names():
    run = Run(**{**vars(trained.trained()), "params": None, "history": None, "metrics": {"<i>": {"auc": None}}})
    run.config = run.config.replace(opt_out_activity=SCRIPT)
    text, (parts, settings) = shown(run)
    assert "0 epochs" in text and ["opt_out_activity", SCRIPT] in settings and "auc" not in parts[0]
    assert parts[-1][0] == "<i>"


@pytest.mark.parametrize("name", ["<th>", "a & b"])
def test_names_of_columns_are_no_html(name):
    root = ElementTree.fromstring(html_of(name, pd.DataFrame({name: [1234.0, 0.12345, None]}), pd.DataFrame(), ""))
    assert "".join(next(root.iter("th")).itertext()) == name and len(root) == 2
    assert ["".join(cell.itertext()) for cell in root.iter("td")] == ["1,234", "0.1235", ""]
