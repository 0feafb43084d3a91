"""What a ranking says: in the terminal, as JSON and as CSV."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lightning_app.rank.ranking import Entry, Ranking
from lightning_app.rank.results import Results
from lightning_app.rank.scores import SCORES
from lightning_app.writing import as_text, write_csv, write_whole

FORMAT = 1


@dataclass(frozen=True)
class Report:
    """A ranking, and what it was made of.

    Attributes:
        ranking: the ranking.
        images: names of the labelled images.
        pixels: pixels drawn of each class, by name; the same for every candidate.
        results: what training came to; None if nobody asked.
        command: what was typed.
    """

    ranking: Ranking
    images: Sequence[str]
    pixels: dict[str, int]
    results: Results | None
    command: str

    @property
    def notes(self) -> list[str]:
        """What to know when reading the table."""
        notes = []
        absent = [name for name, count in self.pixels.items() if not count]
        if absent:
            notes.append(f"No labelled pixel is of {', '.join(absent)}: the ranking says nothing of them.")
        reasons: dict[tuple[str, str], list[str]] = {}
        for entry in self.ranking.entries:
            for why in dict.fromkeys(entry.scores.lacking.values()):
                lacking = " and ".join(score for score, reason in entry.scores.lacking.items() if reason == why)
                reasons.setdefault((lacking, why), []).append(entry.title)
        for (lacking, why), titles in reasons.items():
            whose = "any candidate" if len(titles) == len(self.ranking.entries) else ", ".join(titles)
            notes.append(f"No {lacking} of {whose}: {why}.")
        notes += [
            f"{entry.title} has seen {entry.labels} target labels: if these are among them, it has an unfair start."
            for entry in self.ranking.entries
            if entry.labels
        ]
        return [*notes, *(self.results.notes if self.results else [])]

    def print(self, console: Console) -> None:
        """Prints the table, the agreement, and last the line to paste."""
        console.print(self._candidates())
        if len(self.ranking.entries) > 2:
            console.print(self._agreement())
        for note in self.notes:
            console.print(as_text(note), soft_wrap=True)
        best = self.ranking.entries[0]
        console.print(as_text(f"\n{self.ranking.reason}", "bold"), soft_wrap=True)
        if self.ranking.caution is not None:
            console.print(as_text(self.ranking.caution, "bold yellow"), soft_wrap=True)
        console.print(as_text(f"\n{shlex.join(best.options)}"), soft_wrap=True)

    def write(self, path: Path) -> None:
        """Writes the JSON, and the table as CSV beside it."""
        text = json.dumps(self._content(), indent=2, ensure_ascii=False)
        write_whole(path, lambda part: part.write_text(text, encoding="utf-8", errors="backslashreplace"))
        columns = ["candidate", "mean rank", *SCORES, "target mIoU", "options"]
        rows = [
            [
                entry.name,
                self.ranking.ranks[entry.name],
                *(entry.scores.values.get(score, "") for score in SCORES),
                self.ranking.results.get(entry.name, ""),
                shlex.join(entry.options),
            ]
            for entry in self.ranking.entries
        ]
        write_csv(path.with_suffix(".csv"), columns, rows)

    def _candidates(self) -> Table:
        pixels = sum(self.pixels.values())
        title = f"Candidates by {pixels:,} pixels of {len(self.images)} labelled target images; more is better"
        # Numbers leave the names little of a narrow terminal, and frames would take most of it.
        table = Table("candidate", "mean rank", *SCORES, title=title, title_justify="left", box=SIMPLE_HEAD, padding=0)
        table.columns[0].overflow = "fold"
        for column in table.columns[1:]:
            column.justify = "right"
        results = self.ranking.results
        if results:
            table.add_column("target mIoU", justify="right")
        for entry in self.ranking.entries:
            table.add_row(as_text(entry.title), f"{self.ranking.ranks[entry.name]:.2f}", *self._cells(entry))
        if results:
            taus = [self.ranking.weighted_tau(score) for score in ("mean rank", *SCORES)]
            table.add_section()
            table.add_row("weighted τ with the mIoU", *map(_shown, taus), "")
        return table

    def _cells(self, entry: Entry) -> list[str]:
        best = {
            score: max(other.scores.values.get(score, -float("inf")) for other in self.ranking.entries)
            for score in SCORES
        }
        cells = []
        for score in SCORES:
            value = entry.scores.values.get(score)
            shown = "–" if value is None else f"{value:.4g}"
            cells.append(f"[bold]{shown}[/]" if value == best[score] else shown)
        if self.ranking.results:
            result = self.ranking.results.get(entry.name)
            cells.append("–" if result is None else f"{100 * result:.1f} %")
        return cells

    def _agreement(self) -> Table:
        mean = self.ranking.mean_agreement
        title = f"Agreement of the scores (Kendall τ; mean of those that vote: {_shown(mean)})"
        table = Table("", *SCORES[1:], title=title, title_justify="left")
        for place, score in enumerate(SCORES[:-1]):
            cells = [_shown(self.ranking.agreement(score, other)) for other in SCORES[place + 1 :]]
            table.add_row(score, *[""] * place, *cells)
        for column in table.columns[1:]:
            column.justify = "right"
        return table

    def _content(self) -> dict[str, Any]:
        ranking = self.ranking
        return {
            "format": FORMAT,
            "command": self.command,
            "images": list(self.images),
            "pixels": self.pixels,
            "voting": ranking.voting,
            "candidates": [
                {
                    "name": entry.name,
                    "options": list(entry.options),
                    "mean_rank": ranking.ranks[entry.name],
                    "scores": entry.scores.values,
                    "lacking": entry.scores.lacking,
                    "target_labels": entry.labels,
                    "target_miou": ranking.results.get(entry.name),
                }
                for entry in ranking.entries
            ],
            "agreement": {one: {other: ranking.agreement(one, other) for other in SCORES} for one in SCORES},
            "mean_agreement": ranking.mean_agreement,
            "results": self.results.what if self.results else None,
            "weighted_tau": {score: ranking.weighted_tau(score) for score in ("mean rank", *SCORES)},
            "notes": self.notes,
            "reason": ranking.reason,
            "caution": ranking.caution,
        }


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
