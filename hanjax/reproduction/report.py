"""The report: Markdown from report.json, written for a reader who knows the paper and nothing else."""

from collections.abc import Iterable, Sequence
from typing import Any

from hanjax.reproduction import sentences as say
from hanjax.reproduction.dynamics import RULES
from hanjax.reproduction.measures import BANDS
from hanjax.reproduction.orderings import MARGIN
from hanjax.reproduction.rows import REFERENCE
from hanjax.reproduction.sentences import number, p_value, signed_span, span

Found = dict[str, Any]

TITLE = "Joint, dynamic scoring of group decisions (AdKDD 2022), reproduced"


def render(found: Found) -> str:
    """The report as Markdown.

    Args:
        found: what report.json holds.

    Returns:
        The text.
    """
    parts = [f"# {TITLE}", _about(found), _in_short(found), _experiments(found), _resolution(found)]
    parts += [_orderings(found), _bands(found), _choices(found), _static(found), _figure_1(found)]
    parts += [_volume(found), _crossings(found), _grid(found), _members(found), _failures(found), _settings(found)]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], *, left: int = 1) -> str:
    """A Markdown table; all but the first columns are flushed right.

    Args:
        head: names of the columns.
        rows: their cells.
        left: how many columns are flushed left.

    Returns:
        The lines.

    Example:
        >>> from hanjax.reproduction.report import table
        >>> print(table(["model", "AUC"], [["maximum", 0.83]]))
        | model | AUC |
        |---|--:|
        | maximum | 0.83 |
    """
    line = lambda cells: f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"
    rule = "|".join(["---"] * left + ["--:"] * (len(head) - left))
    return "\n".join([line(head), f"|{rule}|", *map(line, rows)])


def card(choices: Sequence[Found]) -> str:
    """The reproduction card: where the paper is silent, what is done here, and what the other answer changes.

    Args:
        choices: the report's table of choices.

    Returns:
        A Markdown table.

    Example:
        >>> from hanjax.reproduction.report import card
        >>> print(card([{"question": "epochs", "default": "20", "option": "50", "effect": 0.01}]).splitlines()[-1])
        | epochs | 20 | 50 | +0.010 | – |
    """
    rows = [[c["question"], c["default"], c["option"], _effect(c), p_value(c.get("effect_p"))] for c in choices]
    return table(["Open in the paper", "Done here", "Other answer", "Its effect on the AUC", ""], rows, left=3)


def _effect(choice: Found) -> str:
    return "not measured" if choice.get("choice") and choice.get("effect") is None else signed_span(choice, "effect")


def compact_card(choices: Sequence[Found]) -> str:
    """The measured choices alone, one short line each.

    Args:
        choices: the report's table of choices.

    Returns:
        A Markdown table.
    """
    rows = [
        [c["choice"].replace("-", " "), c["default"], c["option"], signed_span(c, "effect")]
        for c in choices
        if c.get("effect") is not None
    ]
    return table(["choice", "default", "option", "effect on the AUC"], rows, left=3)


def _about(found: Found) -> str:
    about = found["about"]
    if about["market"] is None:
        what = "your own data"
    else:
        what = (
            f"a simulated market of {about['market']['accounts']:,} accounts over {about['market']['weeks']} weeks, of "
            f"which {100 * about['market']['conversions']:.1f} % convert"
        )
    fresh = (
        f" Every model is also measured on {about['fresh_accounts']:,} fresh accounts of the same market, which "
        "training never touches either: the paper could not do that, and it makes differences visible that a test of "
        "the paper's size hides."
        if about["fresh_accounts"]
        else ""
    )
    data, model, train = (about["settings"][part] for part in ("panel", "model", "train"))
    weight = "balanced classes" if train["positive_weight"] is None else f"w = {train['positive_weight']:g}"
    epochs = _count(about["epochs"] or train["epochs"], "epoch")
    selection = "no selection of epochs or models" if train["validation"] == 0 else "the epoch chosen by validation"
    quick = (
        " **This is a quick run on a small market: it shows that everything works, and its figures mean nothing.**"
        if about["quick"]
        else ""
    )
    return (
        f"Trained on {what}, split once by account: {about['train_accounts']:,} for training, "
        f"{about['test_accounts']:,} for the test, the same for every model.{fresh} Settings are the paper's unless a "
        f"row says otherwise: windows of {data['window']} periods ({data['period']}), {data['max_activities']} "
        f"activities a period, hidden sizes {model['activity_width']} and {model['window_width']}, "
        f"{weight}, Adam at {train['learning_rate']:g}, {epochs}, {selection}. Each figure is the "
        f"mean over {_count(about['seeds'], 'seed')}; an ensemble, and a row without chance, is trained once."
        f"{quick}\n\n"
        "The paper's data are not public. Its figures are of *its* accounts and the others of *these*, so it is "
        "orderings and differences that can be compared, not levels. Intervals in brackets hold 95 % and come from "
        "drawing whole accounts with replacement; differences between models are taken on the same draws."
    )


def _in_short(found: Found) -> str:
    said = say.in_short(found)
    return "## In short\n\n" + "\n".join(f"* {sentence}" for sentence in said) if said else ""


def _experiments(found: Found) -> str:
    records = found.get("experiments")
    if not records:
        return ""
    fresh = bool(say.best_prefix(found))
    head = ["Model", "Paper", "AUC, test", "seeds ±", "mean over periods"]
    head += ["AUC, fresh accounts", "to experiment 3 (fresh)"] if fresh else ["to experiment 3"]
    groups = {"2": "*Table 2*", "3": "*Table 3*", "3 (numerics)": "", "4": "*Table 4*", "beyond": "*Beyond the paper*"}
    groups["oracle"] = "*What could be reached*"
    rows, seen = [], set()
    for record in sorted(records, key=lambda r: list(groups).index(r["table"])):
        if record["table"] not in seen and groups[record["table"]]:
            rows.append([groups[record["table"]], *[""] * (len(head) - 1)])
        seen.add(record["table"])
        own = "*failed*" if record["failed"] and record.get("auc") is None else span(record, "auc")
        prefix = "fresh_" if fresh else ""
        last = [span(record, "fresh_auc")] if fresh else []
        difference = "reference" if record["row"] == REFERENCE else signed_span(record, f"{prefix}difference")
        spread, within = number(record.get("spread"), 3), number(record.get("period_auc"))
        rows.append([record["title"], number(record["paper"]), own, spread, within, *last, difference])
    first = next((r for r in records if r.get("periods") is not None), None)
    note = ""
    if first is not None:
        note = (
            f'\n\n"Mean over periods" is the plain mean of the AUC within each: {first["periods"]} of them have both '
            f"outcomes, {first['one_class']} do not and are left out. The test holds {first['samples']:,} samples "
            f"(account and period), {first['conversions']} of them conversions."
        )
    numerics = (
        "\n\nThe caption of the paper's table 3 says that all models 1-6 outperform baseline 1; its own figures for 5 "
        'and 6 (0.67, 0.69) lie below the 0.74 of table 2, as its text says. "Naive numerics" multiply probabilities '
        "as they are, clip them to [1e-7, 1 - 1e-7] and start at one half, to see whether such figures can "
        "come from that."
    )
    pictures = "\n\n![AUC of each model with its interval](experiments.png)"
    pictures += "\n\n![The same on fresh accounts](experiments-fresh.png)" if fresh else ""
    measured = any(record.get("auc") is not None for record in records)
    return f"## Tables 2 to 4\n\n{table(head, rows)}{note}{numerics}{pictures if measured else ''}"


def _resolution(found: Found) -> str:
    there = {test: r for test, r in found.get("resolution", {}).items() if r and r["detectable_paired"] is not None}
    if not there:
        return ""
    said = [say.resolution(test, record) for test, record in there.items()]
    said += [say.consequence(there["test"])] if "test" in there else []
    return "## How far apart must two AUCs be?\n\n" + " ".join(said)


def _orderings(found: Found) -> str:
    claims = found.get("orderings")
    if not claims:
        return ""
    tests = list(dict.fromkeys(claim["test"] for claim in claims))
    names = {"test": "On the test", "fresh": "On fresh accounts"}
    rows = []
    for first in (claim for claim in claims if claim["test"] == tests[0]):
        same = [claim for claim in claims if claim["name"] == first["name"]]
        pairs = same[-1]["pairs"]
        told = "; ".join(f"{_short(p['first'])} − {_short(p['second'])}: {signed_span(_wide(p), 'd')}" for p in pairs)
        rows.append([first["claim"], first["source"], *(f"**{claim['outcome']}**" for claim in same), told or "–"])
    head = ["The paper says", "where", *(names[test] for test in tests), "differences behind it"]
    return (
        "## The paper's orderings\n\n"
        f"{table(head, rows, left=len(head))}\n\n"
        'A claim that models are better is "reproduced" if the interval of every difference lies above 0, "not '
        'reproduced" if any lies below, else "undecided"; a claim of no gain is reproduced if every interval ends '
        f"below {MARGIN}. The differences shown are those of the last column of outcomes."
    )


def _wide(pair: Found) -> Found:
    return {"d": pair["value"], "d_low": pair["low"], "d_high": pair["high"]}


def _short(row: str) -> str:
    return row.replace("experiment-", "").replace("baseline-", "B").replace("naive-", "naive ")


def _bands(found: Found) -> str:
    prefix = say.best_prefix(found)
    names = [f"{prefix}auc_{low}_to_{high}" for low, high in BANDS]
    rows = [
        [record["title"], *(number(record.get(name)) for name in names)]
        for record in found.get("experiments", [])
        if record.get(f"{prefix}auc") is not None
    ]
    if not rows:
        return ""
    where = "fresh accounts" if prefix else "the test"
    head = ["Model", *(f"{low} to {high} members" for low, high in BANDS)]
    return (
        "## Is it only the size of the account?\n\nA sum or a maximum grows with the number of members. AUC among "
        f"accounts of like size at the cut-off, on {where}:\n\n{table(head, rows)}"
    )


def _choices(found: Found) -> str:
    choices = found.get("choices")
    if not choices:
        return ""
    return (
        "## Reproduction card: where the paper leaves a choice\n\nEach option was trained once on a third of the "
        "training accounts, with the default beside it, and both were measured on all the other accounts. A positive "
        "effect means that the option is better. Intervals are about other accounts; another training of either can "
        f"change an effect by as much.\n\n{card(choices)}"
    )


def _static(found: Found) -> str:
    records = found.get("static")
    if not records:
        return ""
    test = "fresh" if any(record["test"] == "fresh" for record in records) else "test"
    records = [record for record in records if record["test"] == test]
    dynamic = next((r for r in found.get("experiments", []) if r["row"] == REFERENCE), None)
    rows = [[r["title"], number(r["precision"]), number(r["recall"]), number(r["f1"]), span(r, "auc")] for r in records]
    where = "fresh accounts" if test == "fresh" else "the test"
    same = next((r for r in records if r["row"] == f"static-{REFERENCE}"), records[0])
    dynamic = dynamic if same["row"].endswith(REFERENCE) else None
    return (
        "## The static task: does it ever convert?\n\nOne sample an account, at its eighth cut-off, and the label says "
        f"whether the account converts then or later. Measured on {where}.\n\n"
        f"{table(['Model', 'precision', 'recall', 'F1', 'AUC'], rows)}\n\n"
        f"{say.static(same, dynamic, 'fresh_' if test == 'fresh' else '')}"
    )


def _of(found: Found) -> str:
    return "the fresh accounts" if found["analyzed"] == "fresh" else "the test accounts"


def _figure_1(found: Found) -> str:
    told = found.get("figure_1")
    if not told or not any(told.values()):
        return ""
    missing = [side for side, name in told.items() if name is None]
    where = " (Left is above here, right below.)"
    if missing:
        where = f" No account fits the rule for: {', '.join(missing)}."
    return (
        f"## Figure 1: two telling accounts\n\nChosen by rule from {_of(found)}, as the first seed of experiment 3 "
        f"scores them. {RULES[0]} {RULES[1]}{where}\n\n"
        "![Scores of telling accounts and their individuals](figure-1.png)"
    )


def _volume(found: Found) -> str:
    record = found.get("volume")
    if not record or record["p"] is None:
        return ""
    return (
        f"## Is it only the volume of activities?\n\nWithin each of {_of(found)}, Pearson's correlation between the "
        "activities of the last period before a cut-off and the score at it, then regressed on whether the account "
        f"converts. {say.volume(record)}"
    )


def _crossings(found: Found) -> str:
    records = found.get("crossings")
    if not records:
        return ""
    rows = [
        [f"{100 * r['false_alarms']:.0f} %", number(r["threshold"], 4), f"{100 * r['caught']:.0f} %",
         number(r["periods_before"], 0), f"{number(r['quarter'], 0)} to {number(r['three_quarters'], 0)}"]
        for r in records
    ]  # fmt: skip
    head = ["false alarms", "threshold", "converting accounts caught", "periods before, median", "quartiles"]
    return (
        f"## When does a score cross a threshold?\n\n{say.crossings(records)}\n\n{table(head, rows, left=0)}\n\n"
        f"Measured on {_of(found)}. False alarms are accounts without a conversion that ever cross it. 0 is the period "
        "of the conversion, scored at its start.\n\n![Crossings against false alarms](crossings.png)"
    )


def _grid(found: Found) -> str:
    records, winners = found.get("grid"), found.get("winners")
    if not records:
        return ""
    rules = [name for name in records[0] if name not in ("row", "title", "kind")]
    body = table(
        ["Model", *(rule.replace("_", " ") for rule in rules)],
        [[r["title"], *(number(r[rule]) for rule in rules)] for r in records],
    )
    best = ""
    if winners:
        rows = [
            [w["rule"].replace("_", " "), w["best"], span(w, "auc"), f"{w['second']} ({signed_span(w, 'lead')})",
             w["undecided_with"], number(w["log_oracle"]), number(w["latent_oracle"])]
            for w in winners
        ]  # fmt: skip
        head = ["Rule", "best", "AUC", "second (lead)", "not told apart from it", "log oracle", "truth"]
        best = f"\n\n{say.grid(winners)}\n\n{table(head, rows, left=2)}"
    return (
        "## Which aggregation for which way of deciding?\n\nThe same kind of people and activities, but accounts "
        "decide by other rules. Each model was trained once on a third of the training accounts and measured on all "
        "others.\n\n"
        f"{body}{best}\n\n![AUC by model and rule](grid.png)"
    )


def _members(found: Found) -> str:
    records = found.get("members")
    if not records:
        return ""
    ordered = sorted(records, key=lambda r: -(r["concordance"] or 0))
    rows = [[r["title"], span(r, "concordance", 3), signed_span(r, "difference")] for r in ordered]
    return (
        "## Are the individuals' scores right?\n\nThe paper shows them and cannot check them. In a simulated market "
        "everybody's interest is known: of two members of one account at one cut-off, how often does the more "
        f"interested one have the higher score, among {_of(found)}?\n\n{say.members(records)}\n\n"
        f"{table(['Model', 'pairs in the right order', 'minus activities'], rows)}\n\n"
        "![Pairs in the right order](members.png)"
    )


def _failures(found: Found) -> str:
    if not found.get("failures"):
        return ""
    rows = [[f["world"], f["row"], f["seed"], f["error"]] for f in found["failures"]]
    return f"## What failed\n\n{table(['data', 'row', 'seed', 'why'], rows, left=4)}"


def _settings(found: Found) -> str:
    about = found["about"]
    command = f"    {about['command']}\n\n" if about["command"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    machine = about["machine"]
    changed = "" if about["market"] is None else f" Market: {_pairs(about['market'])}."
    settings = "; ".join(f"{part}: {_pairs(values)}" for part, values in about["settings"].items())
    return (
        f"## How it was made\n\n{command}{about['trainings']} trainings, {about['minutes']:.1f} minutes in all, on "
        f"{machine['processor']}, {machine['cores']} cores; Python {machine['python']}, {versions}. "
        f"Split {about['split'][:12]}.{changed}\n\nThe paper's settings, which rows change as their titles say: "
        f"{settings}.\n\nEvery figure here is in report.json."
    )


def _count(number_of: int, what: str) -> str:
    return f"{number_of} {what}{'' if number_of == 1 else 's'}"


def _pairs(values: Found) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())
