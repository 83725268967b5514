"""The section on reasons: what stands in it, and that it gets onto the page escaped."""

import pytest

from hanjax.api import explain_scores, write_report
from hanjax.report import blocks, hottest
from hanjax.report.reasons import reasons_section
from tests import trained

PIXEL = "data:image/png;base64,AAAA"


def test_a_section_has_a_table_a_picture_and_the_accounts_one_by_one():
    found = explain_scores(trained.trained(), trained.market(), template="{{ account_id }} <b>")
    section = reasons_section(found.table, found.long, accounts=2, believe="Believe it.")
    table = next(block for block in section.blocks if block.kind == "table")
    assert table.columns == ["Account", "Score", "Tier", *found.aspects, "What to do"]
    first = found.table.iloc[0]
    assert table.rows[0][1:3] == [str(int(first["score"])), first["tier"]]
    assert table.rows[0][3:-1] == [first[f"{name}_level"] for name in found.aspects]
    assert sum(block.kind == "picture" for block in section.blocks) == 3
    assert section.blocks[-1] == blocks.Text("Believe it.", note=True)
    headings = [block.text for block in section.blocks if block.kind == "heading"]
    assert headings == [f"{row['name']} ({row['account_id']})" for row in found.table.head(2).to_dict("records")]


@pytest.mark.slow
def test_the_page_has_the_section_if_aspects_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "rendered", lambda figure: PIXEL)
    monkeypatch.setattr(hottest, "_believe", lambda material: [])
    path = tmp_path / "report.html"
    run, market = trained.trained(), trained.market()
    text = write_report(run, market, path, aspects={"<i>": ["activity:*"]}, accounts=1).read_text()
    assert 'id="reasons"' in text and "&lt;i&gt;" in text and "<i>" not in text
    assert 'id="reasons"' not in write_report(run, market, path, accounts=0).read_text()
