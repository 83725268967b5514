"""The page: one well-formed file that loads nothing, escapes everything, and says what the evaluation says."""

import dataclasses
from html.parser import HTMLParser

import jax
import numpy as np
import pandas as pd
import pytest

import hanjax
from hanjax.api.reporting import write_report
from hanjax.errors import ConfigError
from hanjax.report import blocks, hottest
from hanjax.types import Tables
from tests import trained

SECTIONS = ["What this is", "The hottest accounts now", "How good it is", "How far to trust it", "The data", "Warnings"]
VOID = {"meta", "img", "br", "hr", "link", "input"}
PIXEL = "data:image/png;base64,AAAA"


class Page(HTMLParser):
    """Reads a page, and fails where a tag is not closed, or closed in the wrong order."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.attributes, self.texts, self.titles, self.cells = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
            self.cells += [""] if tag == "td" else []
            self.titles += [""] if tag == "h2" else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if "td" in self.open:
            self.cells[-1] += data
        if "h2" in self.open:
            self.titles[-1] += data

    @property
    def text(self):
        return " ".join("".join(self.texts).split())


@pytest.fixture
def plain(monkeypatch):
    """Pictures are not drawn to the end, and attention is not tested: both take seconds, and one page has them."""
    monkeypatch.setattr(blocks, "rendered", lambda figure: PIXEL)
    monkeypatch.setattr(hottest, "_believe", lambda material: [])


def written(run, tables, tmp_path, **options):
    path = write_report(run, tables, tmp_path / "new" / "page.html", **{"accounts": 1, **options})
    return Page(path.read_text(encoding="utf-8"))


def run_with(**changes):
    """The trained run, changed; its figures are its own."""
    return dataclasses.replace(trained.trained(), **{"metrics": {}, **changes})


def renamed(name) -> tuple[hanjax.run.Run, Tables]:
    """The market and its run under other ids of accounts and individuals."""
    tables, run = trained.market(), trained.trained()
    change = {"account_id": name, "individual_id": name}
    new = [None if t is None else t.assign(**{c: t[c].map(f) for c, f in change.items() if c in t}) for t in tables]
    split = run.split.copy()
    split.index = [str(name(account)) for account in split.index]
    return run_with(split=split), Tables(*new)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A page with everything on it, but with few samples for the test of attention."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hottest, "_DELETED", 15)
        path = write_report(run_with(), trained.market(), tmp_path_factory.mktemp("page") / "report.html", accounts=1)
    return path, Page(path.read_text(encoding="utf-8"))


def test_it_has_every_section_and_loads_nothing(whole):
    path, page = whole
    assert page.titles == SECTIONS
    links = [value for _, name, value in page.attributes if name in ("src", "href")]
    assert all(link.startswith(("#", "data:image/")) for link in links)
    anchors = {value for _, name, value in page.attributes if name == "id"}
    assert {link[1:] for link in links if link.startswith("#")} <= anchors
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text and "@import" not in text and "url(" not in text and "http" not in page.text
    assert path.stat().st_size < 3e6


def test_every_picture_is_said_in_words_too(whole):
    _, page = whole
    images = [dict((n, v) for _, n, v in some) for some in _tags(page, "img")]
    assert len(images) >= 12 and all(image["alt"] and image["src"].startswith("data:image/") for image in images)
    assert "No picture" not in page.text


def _tags(page, wanted):
    """The attributes of each tag of a kind, where each has a source and then an alternative."""
    flat = [one for one in page.attributes if one[0] == wanted]
    return [flat[i : i + 2] for i in range(0, len(flat), 2)]


def test_its_figures_are_those_of_the_evaluation(whole):
    _, page = whole
    evaluation = hanjax.evaluate(run_with(), trained.market())
    metrics, text = evaluation.metrics, page.text
    for name in ("auc", "auc_period_mean", "average_precision"):
        assert any(cell.startswith(f"{metrics[name]:.3f}") for cell in page.cells), name
    assert f"{metrics['log_loss_base_rate']:.3g}" in page.cells
    assert f"{metrics['samples']:,} samples of {evaluation.known['account_id'].nunique()} accounts" in text
    assert f"rest on {metrics['conversions']} conversion" in text
    for tier in evaluation.lift().itertuples():
        assert any(cell.startswith(f"{tier.lift:.3g}×") for cell in page.cells)


def test_its_ranking_is_that_of_the_scores(whole):
    _, page = whole
    scores = hanjax.score(run_with(), trained.market()).accounts
    now = scores[scores["cutoff"] == scores["cutoff"].max()].sort_values("rank")
    places = [
        i for i, cell in enumerate(page.cells) if cell == "1" and f"({now['account_id'].iloc[0]})" in page.cells[i + 1]
    ]
    assert page.cells[places[0] + 4] == blocks.percent(now["probability"].iloc[0])
    assert (
        "not shown that the model ranks better" in page.text
        or "ranks worse" in page.text
        or "better than “" in page.text
    )
    assert "moves the log-odds" in page.text  # the deletion test


def test_influences_add_up_to_the_log_odds(whole):
    _, page = whole
    said = page.text.split("mean probability of all samples: ")[1].split(", before any")[0]
    account, rest = said.split(" less ")
    baseline, total = rest.split(" is ")
    scores = hanjax.score(run_with(), trained.market()).accounts
    top = scores[scores["cutoff"] == scores["cutoff"].max()].nlargest(1, "probability")["probability"].iloc[0]
    mean = scores["probability"].mean()
    assert float(account) == pytest.approx(np.log(top / (1 - top)), abs=2e-3)
    assert float(baseline) == pytest.approx(np.log(mean / (1 - mean)), abs=2e-3)
    assert float(total) == pytest.approx(float(account) - float(baseline), abs=2e-3)


def test_everything_left_out_is_listed_with_its_count(whole):
    _, page = whole
    left_out = hanjax.describe(trained.market(), trained.CONFIG.panel).left_out
    assert len(left_out)
    for row in left_out.itertuples():
        at = page.cells.index(row.reason)
        assert page.cells[at - 1] == row.table and page.cells[at + 2] == f"{row.rows:,}"


def test_ids_cannot_become_html(plain, tmp_path):
    run, tables = renamed(lambda name: f"<script>alert('{name}')</script>&amp;")
    evil = '"><img src=x onerror=alert(1)>'
    tables = tables._replace(accounts=tables.accounts.assign(name=evil))
    page = written(run, tables, tmp_path)
    assert ("script", "src", "x") not in page.attributes and not [a for a in page.attributes if a[1] == "onerror"]
    assert "<script" not in (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert "<script>alert('" in page.text and "&amp;" in page.text and evil in page.text


def test_ids_may_be_integers_and_segments_may_be_missing(plain, tmp_path):
    run, tables = renamed(lambda name: int(name[1:]))
    words = tables.accounts.select_dtypes(["object", "string", "category"]).columns
    tables = tables._replace(accounts=tables.accounts.drop(columns=words))
    page = written(run, tables, tmp_path, accounts=2)
    assert page.titles == SECTIONS and not any("Company" in cell for cell in page.cells)
    top = hanjax.score(run, tables).accounts.query("cutoff == cutoff.max()").nsmallest(1, "rank")["account_id"].iloc[0]
    assert f"1. {top}" in page.text


def test_one_account_may_be_all_there_is_to_test_on(plain, tmp_path):
    run = run_with()
    converted = hanjax.api.conversions(trained.market()).index
    kept = next(a for a in run.split.index[run.split == "test"] if a in converted)
    others = (run.split == "test") & (run.split.index != kept)
    page = written(run_with(split=run.split.mask(others, "train")), trained.market(), tmp_path)
    assert page.titles == SECTIONS and "How sure the figures are cannot be said" in page.text
    assert "of 1 account, of which 1 sample" in page.text


@pytest.mark.parametrize("kept", ["one outcome", "nobody"])
def test_without_anything_to_judge_by_the_rest_is_still_told(plain, tmp_path, kept):
    run = trained.trained()
    converted = hanjax.api.conversions(trained.market()).index
    others = (run.split == "test") & (run.split.index.isin(converted) if kept == "one outcome" else True)
    page = written(run_with(split=run.split.mask(others, "train")), trained.market(), tmp_path)
    assert page.titles == SECTIONS and "How good the model is cannot be said" in page.text
    assert ("0 conversions" if kept == "one outcome" else "nothing is left to test on") in page.text
    assert "What was left out, and why" in page.text and "ranking of the likeliest accounts" in str(page.attributes)
    assert "Within accounts of one size" not in page.text


@pytest.mark.slow
def test_ensembles_and_several_horizons(plain, tmp_path):
    run = trained.trained()
    several = run_with(
        config=run.config.replace(ensemble=2, horizons=(1, 3)), sizes=dataclasses.replace(run.sizes, horizons=2)
    )
    several.params = several.network.init(jax.random.key(0))
    page = written(several, trained.market(), tmp_path)
    assert page.titles == SECTIONS and "the mean of 2 networks" in page.text
    ahead = hanjax.evaluate(several, trained.market()).ahead()
    assert ahead["periods"].isin([2, 4]).sum() == 2
    for row in ahead.itertuples():
        assert blocks.percent(row.probability) in page.cells
    assert "horizons" in page.cells and "(1, 3)" in page.cells  # a setting that differs from the default


def test_a_run_until_a_date_learns_no_baseline_from_after_it(plain, tmp_path, monkeypatch):
    from hanjax.report import quality

    given = {}
    monkeypatch.setattr(
        quality,
        "baselines",
        lambda panel, counts, training, **_: given.update(panel=panel, training=training) or ([], "none"),
    )
    until = "2021-02-03"  # a Wednesday
    run = run_with(config=trained.CONFIG.replace(until=until))
    page = written(run, trained.market(), tmp_path, accounts=0)
    learned = given["panel"].samples["cutoff"][given["training"]]
    assert learned.max() == pd.Timestamp("2021-01-24", tz="UTC")  # the week from Jan 31 on ends after it
    assert f"on all accounts from {until} on" in page.text


def test_a_negative_number_of_accounts_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="accounts: expected 0 at least, got -1"):
        write_report(trained.trained(), trained.market(), tmp_path / "report.html", accounts=-1)
