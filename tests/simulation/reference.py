"""The log oracle by brute force: sums over every hidden state of every member of one small account."""

import itertools

import numpy as np

from hanjax.simulation import interest, people, rules


def pull_of(rule, states, decides, influences, share):
    """A rule as loops over members."""
    x = [interest.INTEREST[s] for s in states if s < 3]
    value = lambda k: float(interest.INTEREST[states[k]]) if k is not None and states[k] < 3 else 0.0
    if not x:
        return 0.0
    if rule == "any_one":
        return max(x)
    if rule == "consensus":
        return -np.log(np.mean([np.exp(-rules.SOFTNESS * v) for v in x])) / rules.SOFTNESS
    if rule == "majority":
        for_it = np.mean([v > 0 for v in x]) ** rules.STEEPNESS
        return for_it / (for_it + np.mean([v == 0 for v in x]) ** rules.STEEPNESS)
    if rule == "decision_maker":
        return value(decides)
    if rule == "contagion":
        return np.mean(x)
    if rule == "veto" and influences is not None and states[influences] == interest.COLD:
        return 0.0
    others = [interest.INTEREST[s] for k, s in enumerate(states) if s < 3 and k not in (decides, influences)]
    rest = (1 - share) / 2
    return share * value(decides) + rest * value(influences) + rest * (np.mean(others) if others else 0.0)


def exact(evidence, config):
    """The probabilities of one account at the cut-offs 1 .. T, by a forward pass over all joint states."""
    members, weeks = len(evidence.account), evidence.doing.shape[1]
    pairs, chance = people.circles(config.min_members)
    alone, infected = interest.transitions(interest.NEXT), interest.transitions(interest.INFECTED)
    spread = rules.SPREADS.get(config.rule, 0.0)
    belief = {(0, (interest.NOT_YET,) * members, c): chance[c] for c in range(len(pairs))}
    result = []
    for week in range(weeks):
        moved = {}
        for (phase, states, c), p in belief.items():
            there = [s for s in states if s < interest.GONE]
            hot = spread * (sum(s == interest.HOT for s in there) / len(there) if there else 0.0)
            for looking in range(2):
                table = (1 - hot) * alone[looking] + hot * infected[looking]
                ways = []
                for k in range(members):
                    if week < evidence.arrival[k]:
                        ways.append([(interest.NOT_YET, 1.0)])
                        continue
                    chances = table[states[k]] * evidence.doing[k, week]
                    left = evidence.leaves[k, week]
                    ways.append([(interest.GONE if left else s, q) for s, q in enumerate(chances) if q > 0])
                for way in itertools.product(*ways):
                    key = looking, tuple(s for s, _ in way), c
                    q = p * interest.PHASES[phase, looking] * np.prod([q for _, q in way])
                    moved[key] = moved.get(key, 0.0) + q
        arrived = [k for k in range(members) if evidence.arrival[k] <= week]
        belief, converts, total = {}, 0.0, 0.0
        for (phase, states, c), p in moved.items():
            decides, influences = (k if 0 <= k < members else None for k in pairs[c])
            weight = 1.0
            for k, role in ((decides, people.DECISION_MAKER), (influences, people.INFLUENCER)):
                if k in arrived:
                    told = evidence.arrived_as[k] + evidence.sales[k, : week + 1].sum(axis=0)
                    weight *= np.exp(told[role] - told[people.USER])
            hazard = 0.0
            if len(arrived) >= config.min_members:
                pull = pull_of(config.rule, states, decides, influences, config.decision_share)
                hazard = 1 / (1 + np.exp(-evidence.offset[0] - config.strength * pull))
            converts += p * weight * hazard
            total += p * weight
            belief[phase, states, c] = p * (1 - hazard)
        scale = sum(belief.values())
        belief = {key: p / scale for key, p in belief.items()}
        result.append(converts / total)
    return np.array(result)
