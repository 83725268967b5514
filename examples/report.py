"""One page about a model for whoever has to act on it: report.html, and a picture of the page's essential parts.

Command:   python examples/report.py [--data FOLDER --fold N] [--as-of DATE] [--period P] [--quick] [--out FOLDER]
Time:      about two minutes on two CPU cores; with --quick about twenty seconds
Expected:  report.html, a single file that any browser shows; and report.png if Chromium is installed: the ranking, the
           course of the likeliest account, the model beside baselines, and, of a simulated market, who carried the
           score (of real ones the picture does not show what single people did)

examples/report.png is what it makes of a simulated market. examples/report-asfi.png is about projects of the Apache
Incubator, of which nobody knows on that day whether they will graduate:

    python examples/report.py --data asfi --fold 0 --as-of 2014-01-01 --period M
"""

import argparse
import re
import shutil
import subprocess
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import pandas as pd

import hanjax

PARTS = ("ranking of", "trajectory of", "AUC of the model", "share of the score by person")
"""How the alternative texts of the essential pictures begin."""


def as_of(tables: hanjax.Tables, date: str) -> hanjax.Tables:
    """The tables of a folder, folds among them, as they stood on a day."""
    day = pd.Timestamp(date)
    before = lambda column: pd.to_datetime(column, format="ISO8601", utc=True) < day.tz_localize("UTC")
    frame = lambda table: table if isinstance(table, pd.DataFrame) else table.to_pandas()
    events, people, accounts, folds = map(frame, (*tables[:3], tables.folds))
    accounts = accounts[before(accounts["observed_from"])]
    there = before(accounts["observed_to"])
    accounts = accounts.assign(
        observed_to=accounts["observed_to"].where(there, day),
        converted_at=accounts["converted_at"].where(before(accounts["converted_at"])),
    )
    return hanjax.Tables(
        events[before(events["timestamp"])],
        people[before(people["arrived_at"])],
        accounts,
        folds=folds[folds["account_id"].isin(accounts["account_id"])],
    )


def photograph(page: Path, out: Path, parts: tuple[str, ...]) -> bool:
    """A picture of the head of the page and of its essential pictures, two by two; False without a browser."""
    from PIL import Image, ImageChops

    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        return False
    text = page.read_text(encoding="utf-8")
    figures = re.findall(r"<figure>.*?</figure>", text, re.DOTALL)
    first = [next((f for f in figures if f'alt="{part}' in f), "") for part in parts]
    left = (0, 2) if len(parts) == len(PARTS) else (0,)  # about equally long columns
    right = [n for n in range(len(parts)) if n not in left]
    columns = "".join(f"<div>{''.join(first[n] for n in column)}</div>" for column in (left, right))
    style = "main { max-width: none; padding-bottom: 0 } img { min-width: 0 } .two { display: flex; gap: 2rem }"
    grid = f'<style>{style}</style><div class="two">{columns}</div>'
    excerpt = out.with_suffix(".excerpt.html")
    excerpt.write_text(text.split("<nav>")[0] + grid + "</main></body></html>", encoding="utf-8")
    shot = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1200,2400"]
    done = subprocess.run([browser, *shot, f"--screenshot={out}", excerpt.resolve().as_uri()], capture_output=True)
    excerpt.unlink()
    if done.returncode or not out.exists():
        return False
    picture = Image.open(out).convert("RGB")
    bottom = ImageChops.difference(picture, Image.new("RGB", picture.size, "white")).getbbox()[3]
    picture.crop((0, 0, picture.width, bottom + 10)).save(out, optimize=True)
    return True


def main() -> None:
    """Runs the example."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of tables instead of a simulated market")
    parser.add_argument("--fold", type=int, help="of its accounts, which are not trained on")
    parser.add_argument("--as-of", metavar="DATE", help="the tables as they stood on that day")
    parser.add_argument("--period", default="W-SAT", help="W-SAT for weeks, M for months")
    parser.add_argument("--quick", action="store_true", help="a small market, two epochs, one account, no picture")
    parser.add_argument("--out", type=Path, default=Path("."), help="where the page goes")
    arguments = parser.parse_args()

    config = hanjax.Config().replace(period=arguments.period, test_fold=arguments.fold, epochs=10)
    if arguments.quick:
        config = config.replace(epochs=2, window=3, max_activities=4, aggregator="mean_log_odds")
    size = dict(accounts=80, weeks=12) if arguments.quick else dict(accounts=1500)
    if arguments.data is None:
        tables = hanjax.simulate(**size, conversions=0.3, seed=0).tables
    else:
        tables = hanjax.read(arguments.data)
    if arguments.as_of:
        tables = as_of(tables, arguments.as_of)
    run = hanjax.fit(tables, config=config, progress=True)
    page = hanjax.write_report(run, tables, arguments.out / "report.html", accounts=1 if arguments.quick else 3)
    print(page)
    if arguments.quick:
        return
    picture = arguments.out / "report.png"
    parts = PARTS if arguments.data is None else PARTS[:3]
    print(picture if photograph(page, picture, parts) else "no picture: Chromium is not installed")


if __name__ == "__main__":
    main()
