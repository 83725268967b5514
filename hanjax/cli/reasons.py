"""Commands that say why: explain and segments."""

from collections.abc import Sequence
from pathlib import Path

from hanjax.cli.parsing import chosen_run, command_parser, run_and_data
from hanjax.cli.showing import as_text, save, without_screen


def explain(argv: Sequence[str]) -> None:
    """Writes the reasons of each account's score."""
    without_screen()
    from hanjax import api, plot
    from hanjax.report.material import named_by

    about = "Says why each account has its score: what each aspect contributes, in a sentence, and what to do."
    parser = command_parser("explain", about, out="where (default: reasons in the run folder)")
    run_and_data(parser)
    parser.add_argument("--aspects", metavar="FILE", help="YAML or JSON: which inputs make up growth, usage and so on")
    parser.add_argument(
        "--as-of", metavar="DATE", help="at the start of the period that holds this date (default: now)"
    )
    parser.add_argument("--template", metavar="FILE", type=Path, help="of the sentences, for jinja2")
    parser.add_argument("--actions", metavar="FILE", help="CSV of what to do: aspect, level, action")
    parser.add_argument("--reference", metavar="FOLDER", help="an earlier explanation, for levels to mean the same")
    parser.add_argument("--top", metavar="N", type=int, default=10, help="sentences to print (default: 10)")
    arguments = parser.parse_args(argv)
    names = ("aspects", "as_of", "template", "actions", "reference")
    chosen = {name: getattr(arguments, name) for name in names}
    found = api.explain_scores(chosen_run(arguments), arguments.data, **chosen, progress=True)
    out = found.write(arguments.out or Path(arguments.run) / "reasons")
    long = named_by(found.long, found.unit)
    save(plot.aspects(long), out / "aspects.png")
    save(plot.waterfall(long, long["account_id"].iloc[0]), out / "waterfall.png")
    print(repr(found).split("\n")[0], *found.table["sentence"].head(arguments.top), sep="\n")
    print(f"{out}: accounts.csv, aspects.csv, inputs.csv, reference.json, aspects.png, waterfall.png (of the first)")


def segments(argv: Sequence[str]) -> None:
    """Writes what a model has learned of each segment."""
    without_screen()
    from hanjax import api, plot

    about = "Says what each segment (region, product, ...) adds to the global model, and how sure that is."
    parser = command_parser("segments", about, out="where (default: segments in the run folder)")
    parser.add_argument("run", metavar="RUN", help="a run folder, trained with --segments")
    parser.add_argument("data", metavar="DATA", nargs="?", help="the tables of the training, to count samples")
    arguments = parser.parse_args(argv)
    table = api.segment_effects(chosen_run(arguments), arguments.data)
    out = arguments.out or Path(arguments.run) / "segments"
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / "segments.csv", index=False)
    save(plot.segments(table), out / "segments.png")
    shown = [name for name in table if not name.startswith(("slope_", "tau_"))]
    print(as_text(table[shown].dropna(axis="columns", how="all")))
    print(f"{out}: segments.csv, segments.png")
