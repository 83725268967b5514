"""The report's sentences, each made of the figures in report.json and of nothing else."""

from typing import Any

Found = dict[str, Any]


def number(value: float | None, digits: int = 2) -> str:
    """A figure as the report writes it; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 3) -> str:
    """A difference as the report writes it."""
    return "–" if value is None else f"{value:+.{digits}f}".replace("-", "−")


def span(record: Found, name: str, digits: int = 2) -> str:
    """A figure with its interval."""
    value, low, high = (record.get(f"{name}{end}") for end in ("", "_low", "_high"))
    if value is None:
        return "–"
    return number(value, digits) if low is None else f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def signed_span(record: Found, name: str) -> str:
    """A difference with its interval."""
    value, low, high = (record.get(f"{name}{end}") for end in ("", "_low", "_high"))
    if value is None:
        return "–"
    return signed(value) if low is None else f"{signed(value)} [{signed(low)}, {signed(high)}]"


def p_value(value: float | None) -> str:
    """A p as the report writes it."""
    return "–" if value is None else "p < 0.001" if value < 0.001 else f"p = {value:.{3 if value < 0.1 else 2}f}"


def in_short(found: Found) -> list[str]:
    """What came out, in a few sentences.

    Args:
        found: report.json.

    Returns:
        One string a statement.
    """
    said = []
    for test in ("test", "fresh"):
        claims = [claim for claim in found.get("orderings", []) if claim["test"] == test]
        if any(claim["outcome"] != "not measured" for claim in claims):
            said.append(_orderings(claims, test, found["about"]))
    said += [one for one in (_numerics(found), _references(found), _gaps(found)) if one]
    if (one := found.get("volume")) and one["p"] is not None:
        said.append(volume(one))
    if found.get("winners"):
        said.append(grid(found["winners"]))
    if found.get("members"):
        said.append(members(found["members"]))
    if failures := found.get("failures"):
        said.append(f"{len(failures)} of {found['about']['trainings']} trainings failed; they are listed below.")
    return said


def _where(test: str, about: Found) -> str:
    if test == "test":
        return f"the frozen test ({about['test_accounts']:,} accounts)"
    return f"{about['fresh_accounts']:,} fresh accounts of the same market"


def _orderings(claims: list[Found], test: str, about: Found) -> str:
    count = {outcome: [c for c in claims if c["outcome"] == outcome] for outcome in OUTCOMES}
    parts = []
    for outcome in OUTCOMES[:3]:
        if count[outcome]:
            named = "; ".join(claim["claim"][0].lower() + claim["claim"][1:] for claim in count[outcome])
            parts.append(f"{outcome}, {len(count[outcome])}: {named}")
    measured = len(claims) - len(count["not measured"])
    return f"Of the paper's orderings {measured} were judged on {_where(test, about)}. {'. '.join(map(_first, parts))}."


OUTCOMES = ("reproduced", "not reproduced", "undecided", "not measured")


def _first(text: str) -> str:
    return text[0].upper() + text[1:]


def _rows(found: Found) -> dict[str, Found]:
    return {record["row"]: record for record in found.get("experiments", [])}


def best_prefix(found: Found) -> str:
    """ "fresh_" where models were measured on fresh accounts, which is the sharper test; else ""."""
    return "fresh_" if any(r.get("fresh_auc") is not None for r in found.get("experiments", [])) else ""


def _numerics(found: Found) -> str:
    """Whether the paper's low figures for experiments 5 and 6 can be numerics, data or neither."""
    rows, prefix, said = _rows(found), best_prefix(found), []
    for careful, naive, paper in (("experiment-5", "naive-5", 0.67), ("experiment-6", "naive-6", 0.69)):
        one, other = rows.get(careful, {}), rows.get(naive, {})
        if one.get(f"{prefix}auc") is None:
            continue
        if other.get(f"{prefix}auc") is None:
            failed = "failed in training" if other.get("failed") else "was not measured"
            naively = f"computed naively it {failed}"
        else:
            naively = f"computed naively {span(other, f'{prefix}auc')}"
        said.append(f"experiment {careful[-1]} (paper {paper}) reaches {span(one, f'{prefix}auc')}, {naively}")
    return f"Numerics: {'; '.join(said)}." if said else ""


def _references(found: Found) -> str:
    """How the best network stands between regression on counts and the oracles."""
    rows = _rows(found)
    networks = {name: r for name, r in rows.items() if name.startswith("experiment") and r.get("auc") is not None}
    simple = {name: rows[name] for name in ("regression", "boosting") if rows.get(name, {}).get("auc") is not None}
    if not networks or not simple:
        return ""
    prefix = best_prefix(found)
    best = max(networks.values(), key=lambda r: r[f"{prefix}auc"])
    other = max(simple.values(), key=lambda r: r[f"{prefix}auc"])
    said = (
        f"The best of the paper's networks ({best['title']}) has an AUC of {span(best, f'{prefix}auc')}, the better of "
        f"the two classifiers on counts ({other['title']}) {span(other, f'{prefix}auc')}"
    )
    oracles = [
        f"the {name} {span(rows[row], f'{prefix}auc')}"
        for row, name in (("log-oracle", "best possible from the log"), ("latent-oracle", "truth itself"))
        if rows.get(row, {}).get(f"{prefix}auc") is not None
    ]
    return f"{said}{'; ' if oracles else ''}{' and '.join(oracles)}."


def _gaps(found: Found) -> str:
    """How far the two best models that learn stay below the log oracle, on the sharper test."""
    name = f"{best_prefix(found)}gap"
    where = "" if name == "gap" else " on fresh accounts"
    learned = [r for r in found.get("experiments", []) if r.get(name) is not None and r["table"] != "oracle"]
    nearest = sorted(learned, key=lambda r: r[name])[:2]
    told = " and ".join(f"{r['title']} ({signed_span(r, name)})" for r in nearest)
    return f"Nearest to the log oracle, by what is lacking in AUC{where}: {told}." if told else ""


def volume(record: Found) -> str:
    """The paper's test of volumes, in a sentence."""
    differ = "differs" if record["p"] < 0.05 else "does not differ detectably"
    paper = "as in the paper" if record["p"] >= 0.05 else "unlike the paper"
    return (
        f"The correlation of a period's volume and the score after it {differ} between the "
        f"{record['converted']:,} accounts that convert (mean r = {number(record['mean_converted'])}) and the "
        f"{record['accounts'] - record['converted']:,} others (r = {number(record['mean_other'])}): "
        f"{p_value(record['p'])}, {paper} (p = 0.86)."
    )


def resolution(test: str, record: Found) -> str:
    """How far two AUCs must be apart, in a sentence."""
    return (
        f"With {record['accounts']:,} test accounts ({record['conversions']} conversions) the 95 % interval of one AUC "
        f"reaches {number(record['half_width'], 3)} to either side. Two models on the *same* accounts must differ by "
        f"about {number(record['detectable_paired'], 3)} for four of five such tests to find it at the 5 % level; two "
        f"models on *different* accounts by {number(record['detectable_unpaired'], 3)}."
    )


def consequence(record: Found) -> str:
    """What that says of the paper's tables, in a sentence."""
    found = record["detectable_paired"]
    steps = {"0.01 to 0.02 of table 4": 0.02, "0.05 between experiment 3 and baseline 2": 0.05}
    steps |= {"0.13 between experiment 3 and baseline 1": 0.13}
    small = [name for name, step in steps.items() if step < found]
    large = [name for name, step in steps.items() if step >= found]
    parts = []
    if small:
        parts.append(f"too small to be told from chance: {'; '.join(small)}")
    if large:
        parts.append(f"large enough: {'; '.join(large)}")
    return (
        f"Held against that, differences in the paper are {', and '.join(parts)}. The paper does not say how many of "
        f"its 381 test accounts convert; if many more than {record['conversions']}, smaller differences can be told."
    )


def grid(winners: list[Found]) -> str:
    """Which aggregation wins where, in a sentence."""
    clear = [w for w in winners if not w["undecided_with"]]
    named = "; ".join(f"{w['rule'].replace('_', ' ')}: {w['best']} ({number(w['auc'])})" for w in winners)
    return (
        f"No model is best everywhere: {named}. "
        if len({w["best"] for w in winners}) > 1
        else f"One model has the highest AUC in every world: {named}. "
    ) + f"In {len(clear)} of {len(winners)} worlds the lead over every other model is beyond chance."


def members(table: list[Found]) -> str:
    """How well individuals' scores order members, in a sentence."""
    volume = next((r for r in table if r["row"] == "activities"), None)
    others = [r for r in table if r["row"] != "activities"]
    if volume is None or not others:
        return ""
    best, worst = (pick(others, key=lambda r: r["concordance"]) for pick in (max, min))
    above = sum((r.get("difference_low") or -1) > 0 for r in others)
    return (
        f"Individuals' scores put {100 * worst['concordance']:.0f} % ({worst['title']}) to "
        f"{100 * best['concordance']:.0f} % ({best['title']}) of the pairs of members in the order of their true "
        f"interest; their numbers of activities alone do so for {100 * volume['concordance']:.0f} %. "
        f"{above} of {len(others)} models are above that by an interval, on the same accounts, that excludes zero."
    )


def crossings(table: list[Found]) -> str:
    """What a threshold buys, in a sentence."""
    near = min(table, key=lambda r: abs(r["false_alarms"] - 0.1))
    before = near["periods_before"]
    lead = "" if before is None else f", at the median {before:.0f} periods before the period of conversion"
    return (
        f"A threshold that {100 * near['false_alarms']:.0f} % of the accounts without a conversion ever cross is "
        f"crossed by {100 * near['caught']:.0f} % of the converting ones by the time they convert{lead}."
    )


def static(record: Found, dynamic: Found | None, prefix: str) -> str:
    """One model at the static task, beside the same at the dynamic one, in a sentence."""
    said = (
        f"{record['title']} reaches an AUC of {span(record, 'auc')} here, and precision {number(record['precision'])}, "
        f"recall {number(record['recall'])} and F1 {number(record['f1'])} at the base rate of "
        f"{number(record['threshold'], 3)} as the threshold ({record['converting']} of {record['accounts']:,} accounts "
        "convert)"
    )
    if dynamic is None or any(dynamic.get(f"{prefix}auc{end}") is None for end in ("", "_low", "_high")):
        return f"{said}."
    if record["auc_low"] is not None and record["auc_low"] > dynamic[f"{prefix}auc_high"]:
        verdict = "the static task is the easier one, as the paper says"
    elif record["auc_high"] is not None and record["auc_high"] < dynamic[f"{prefix}auc_low"]:
        verdict = "the static task is the harder one here, unlike what the paper says"
    else:
        verdict = (
            "the intervals overlap, so neither task is clearly the easier one, which the paper takes the static to be"
        )
    return f"{said}; at the dynamic task it reaches {span(dynamic, f'{prefix}auc')}: {verdict}."
