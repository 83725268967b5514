"""Rows that begin alike share their beginnings: every distinct prefix of a table's rows is one node of a forest.

A recurrent layer's state depends on the items so far alone, and sequences over a small vocabulary begin alike all the
time; so each state is computed once a node, from that of its parent, the prefix without the last item. The nodes that a
step needs are laid out in chunks, every node in a later chunk than its parent and at most ``REACH`` chunks behind it:
a compiled loop over the chunks, which keeps no more than these at hand, then computes all of them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from hanjax.data.distinct import capacity, distinct_rows
from hanjax.types import REACH, Prefixes


class Forest(NamedTuple):
    """All distinct prefixes of a table's rows, the shorter ones first; node 0 is the empty prefix.

    Args:
        paths: ``[S, L]`` the node that each item leads to; 0 where there is no item.
        parents: ``[N]`` the prefix without its last item; ascending among those of one length.
        starts: ``[L + 1]`` the first node of each length, from 1 on, and the number of nodes.
    """

    paths: Int[np.ndarray, "S L"]
    parents: Int[np.ndarray, " N"]
    starts: Int[np.ndarray, " lengths"]


def make_forest(*items: Int[np.ndarray, "S L"], where: Bool[np.ndarray, "S L"]) -> Forest:
    """Finds every distinct prefix of the rows of a table; places where nothing is are passed over.

    Args:
        items: ``[S, L]`` what each item is, as one or several numbers, the first of them positive.
        where: ``[S, L]`` True where there is an item.

    Returns:
        The forest.

    Example:
        >>> table = np.array([[0, 0, 0], [5, 2, 0], [5, 2, 7], [0, 5, 3]])
        >>> forest = make_forest(table, where=table > 0)
        >>> forest.paths.tolist(), forest.parents.tolist(), forest.starts.tolist()
        ([[0, 0, 0], [1, 2, 0], [1, 2, 4], [0, 1, 3]], [0, 0, 1, 1, 2], [1, 2, 4, 5])
    """
    left = np.argsort(~where, axis=1, kind="stable")  # a row's items move together
    there, *items = (np.take_along_axis(array, left, axis=1) for array in (where, *items))
    nodes, latest = np.zeros(where.shape, np.int32), np.zeros(len(where), np.int64)
    parents, starts = [np.zeros(1, np.int32)], [1]
    for t, here in enumerate(there.T):
        children, child = distinct_rows(np.stack([latest[here], *(item[here, t] for item in items)], axis=1))
        nodes[here, t] = latest[here] = child + (starts[-1] - 1)  # the first row, of zeros, is none of them
        parents.append(children[1:, 0].astype(np.int32))
        starts.append(starts[-1] + len(children) - 1)
    paths = np.empty_like(nodes)
    np.put_along_axis(paths, left, nodes, axis=1)
    return Forest(paths, np.concatenate(parents), np.array(starts))


class _Used(NamedTuple):
    """The nodes that one step uses, in the forest's order, by their numbers in the step: 0 is the empty prefix.

    Args:
        paths: ``[rows, L]`` the node that each item of the step's rows leads to.
        cells: ``[n]`` for each node but 0, a place of ``paths``, counted row by row, whose item is its last one.
        parents: ``[n]`` its parent.
        ends: how many nodes there are up to each length.
    """

    paths: Int[np.ndarray, "rows L"]
    cells: Int[np.ndarray, " n"]
    parents: Int[np.ndarray, " n"]
    ends: Int[np.ndarray, " lengths"]


def plan_prefixes(
    forest: Forest,
    steps: Sequence[Int[np.ndarray, " rows"]],
    places: int,
    *,
    at_least: tuple[int, int] = (1, 16),
) -> Prefixes:
    """Plans which states each of T steps computes, in which order, and where the rows that it uses find them.

    Args:
        forest: the prefixes of a table's rows.
        steps: the rows of the table that each step uses, in the order of its own table.
        places: how many rows the steps' own tables have room for.
        at_least: how many chunks there are, and how large they are, at least.

    Returns:
        The plan, every array with an axis ``T`` in front.
    """
    scratch = np.zeros(len(forest.parents), np.int32)
    used = [_used(forest, rows, scratch) for rows in steps]
    size = at_least[1]
    while (laid := _laid(used, size)) is None:  # with large enough chunks, parents are near enough
        size *= 2
    chunks = -(-capacity(max(int(place.max(initial=0)) for place in laid)) // size)
    if size == at_least[1]:
        chunks = max(chunks, at_least[0])
    shape = len(steps), chunks * size
    cells, parents = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    paths = np.zeros((len(steps), places, forest.paths.shape[1]), np.int32)
    for t, (step, place) in enumerate(zip(used, laid, strict=True)):
        at = place[1:] - 1
        cells[t, at] = step.cells
        # Counted from the first of the chunks at hand, from 1: 0 is the empty prefix.
        nearest = at // size * size - REACH * size
        parents[t, at] = np.where(step.parents > 0, place[step.parents] - nearest, 0)
        paths[t, : len(step.paths)] = place[step.paths]
    chunked = len(steps), chunks, size
    return Prefixes(cells.reshape(chunked), parents.reshape(chunked), paths)


def _used(forest: Forest, rows: Int[np.ndarray, " rows"], scratch: Int[np.ndarray, " N"]) -> _Used:
    """Finds the nodes on the paths of some rows; of ``scratch``, which may hold anything, position 0 must be 0."""
    paths = forest.paths[rows]
    cells = np.flatnonzero(paths)
    nodes, order = paths.ravel()[cells], np.arange(len(cells), dtype=np.int32)
    scratch[nodes] = order  # of equal nodes, one wins: that one stands for all
    first = scratch[nodes] == order
    nodes, cells = nodes[first], cells[first]
    order = np.argsort(nodes)
    nodes, cells = nodes[order], cells[order]
    scratch[nodes] = np.arange(1, len(nodes) + 1, dtype=np.int32)
    return _Used(scratch[paths], cells, scratch[forest.parents[nodes]], np.searchsorted(nodes, forest.starts[1:]))


def _laid(steps: Sequence[_Used], size: int) -> list[Int[np.ndarray, " n"]] | None:
    """Lays the nodes of each step out in chunks of one size: their places, from 1, and 0 for the empty prefix.

    Every node comes as early as the order and its parent allow. None if some parent would be too many chunks behind.
    """
    laid = []
    for step in steps:
        places, start = np.zeros(len(step.parents) + 1, np.int64), 0
        for end in step.ends:
            parents = step.parents[start:end]
            earliest = np.where(parents > 0, -(-places[parents] // size) * size + 1, 1)
            earliest[:1] = np.maximum(earliest[:1], places[start] + 1)
            count = np.arange(len(parents))
            places[start + 1 : end + 1] = np.maximum.accumulate(earliest - count) + count
            start = end
        chunk = (places - 1) // size
        if (chunk[1:] - chunk[step.parents] > REACH)[step.parents > 0].any():
            return None
        laid.append(places)
    return laid
