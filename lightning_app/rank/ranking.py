"""Candidates in the order that the scores agree on, and how far they do."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mean

import numpy as np
from scipy.stats import kendalltau, rankdata, weightedtau

from lightning_app.rank.scores import SCORES, Scores

_FEW = 3
_AGREED = 0.5


@dataclass(frozen=True)
class Entry:
    """One candidate of a ranking.

    Attributes:
        name: as the user spelled it.
        options: what to add to the command line to start from it.
        scores: its scores.
        title: what tables call it.
        labels: target labels that went into its weights.
    """

    name: str
    options: Sequence[str]
    scores: Scores
    title: str
    labels: int = 0


class Ranking:
    """Orders candidates by the mean of their ranks over the scores that all of them have.

    Args:
        entries: the candidates, at least two.
        results: what training came to by the candidate's name: mIoU of the target.

    Attributes:
        voting: the scores that all candidates have.
        ranks: the mean rank of each candidate, by name; 1 is the best, and equal scores share their ranks.
        entries: the candidates, the best first.
        results: as given.
    """

    def __init__(self, entries: Sequence[Entry], results: Mapping[str, float] | None = None) -> None:
        self.voting = [score for score in SCORES if all(score in entry.scores.values for entry in entries)]
        ranks = [rankdata([-entry.scores.values[score] for entry in entries]) for score in self.voting]
        self.ranks = {entry.name: float(np.mean([of[i] for of in ranks])) for i, entry in enumerate(entries)}
        # Of candidates that draw, LogME tells: in segmentation it was the best to choose a source by.
        self.entries = sorted(entries, key=lambda entry: (self.ranks[entry.name], -entry.scores.values["LogME"]))
        self.results = dict(results or {})

    def agreement(self, one: str, other: str) -> float | None:
        """Returns Kendall's τ of two scores over the candidates that have both; None where it is not defined."""
        values = [
            (entry.scores.values[one], entry.scores.values[other])
            for entry in self.entries
            if one in entry.scores.values and other in entry.scores.values
        ]
        return _defined(float(kendalltau(*zip(*values, strict=True)).statistic)) if len(values) > 1 else None

    @property
    def mean_agreement(self) -> float | None:
        """Kendall's τ averaged over the pairs of voting scores."""
        found = [self.agreement(one, other) for one, other in combinations(self.voting, 2)]
        defined = [value for value in found if value is not None]
        return mean(defined) if defined else None

    def weighted_tau(self, score: str) -> float | None:
        """Returns the weighted τ of a score and what training came to; of ``mean rank`` that of the order.

        None with fewer than three candidates that have both, where it says nothing.
        """
        values = [
            (-self.ranks[entry.name] if score == "mean rank" else entry.scores.values[score], self.results[entry.name])
            for entry in self.entries
            if entry.name in self.results and (score == "mean rank" or score in entry.scores.values)
        ]
        return _defined(float(weightedtau(*zip(*values, strict=True)).statistic)) if len(values) >= _FEW else None

    @property
    def reason(self) -> str:
        """Why the first is first, in one sentence."""
        first, second = self.entries[:2]
        winners: dict[str, list[str]] = {}
        for score in self.voting:
            winner = max(self.entries, key=lambda entry: entry.scores.values[score])
            winners.setdefault(winner.title, []).append(score)
        own = winners.pop(first.title, [])
        if not winners:
            return f"{first.title} is first by all of {', '.join(own)}."
        ranks = self.ranks[first.name], self.ranks[second.name]
        best = (
            f"has the best mean rank over {', '.join(self.voting)}, {ranks[0]:.2f} before {ranks[1]:.2f}"
            if ranks[0] < ranks[1]
            else f"draws with {second.title} at a mean rank of {ranks[0]:.2f} and is before it by LogME"
        )
        others = [f"{title} is first by {' and '.join(scores)}" for title, scores in winners.items()]
        return f"{first.title} {best}; but {', '.join(others)}."

    @property
    def caution(self) -> str | None:
        """That the scores do not agree, if so."""
        agreement = self.mean_agreement
        if agreement is None or agreement >= _AGREED:
            return None
        first, second = self.entries[:2]
        return (
            f"The scores disagree about the order (mean Kendall τ {agreement:.2f}): fine-tune from {first.title} and "
            f"from {second.title} for a short while and compare."
        )


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
