"""Reasons: from a score to an action.

What a score rests on is divided among *aspects*, such as growth, affinity or usage, each of which is a group of the
model's inputs. ``hanjax.explain_scores`` does all of it at once; what it consists of is here:

* ``aspects``: which inputs make up which aspect, and what is said of them in words;
* ``game``: the account's log-odds if some aspects only are known of it;
* ``shapley``: fair parts of a difference, for any model;
* ``levels``: scores from 0 to 100, and levels from low to high, that mean the same next week;
* ``deletion``: how far to believe it;
* ``sentences``: a sentence for each account, and what to do.
"""
