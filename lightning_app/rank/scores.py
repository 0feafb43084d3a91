"""All scores of one candidate, from a sample of labelled pixels."""

from dataclasses import dataclass, field

from lightning_app.pixel_reservoir import PixelReservoir
from lightning_app.rank.class_overlap import gaussian_bhattacharyya
from lightning_app.rank.feature_moments import FeatureMoments
from lightning_app.rank.h_score import h_score
from lightning_app.rank.log_evidence import log_me
from lightning_app.rank.nearest_neighbors import neighbor_accuracy
from lightning_app.rank.principal_components import principal_components
from lightning_app.rank.source_classes import SourceClasses

DIMENSIONS = 256
SCORES = ("LogME", "GBC", "H-score", "k-NN", "LEEP", "NCE")
"""The scores; of each the larger is the better."""


@dataclass(frozen=True)
class Scores:
    """The scores of one candidate.

    Attributes:
        values: by name, as far as they can be had.
        lacking: why the others cannot.
    """

    values: dict[str, float]
    lacking: dict[str, str] = field(default_factory=dict)


def score(sample: PixelReservoir, no_head: str | None) -> Scores:
    """Scores a candidate.

    Args:
        sample: labelled pixels of at least two classes: ``features`` (K, D) float32, ``image`` (K,) int64, and where
            the candidate has a head ``probabilities`` (K, source classes).
        no_head: why the candidate has no head; None if it has.
    """
    labels, classes = sample.labels, len(sample.seen)
    features = principal_components(sample["features"], DIMENSIONS)
    moments = FeatureMoments(classes, features.shape[1])
    moments.add(features, labels)
    values = {"LogME": log_me(moments), "GBC": gaussian_bhattacharyya(moments), "H-score": h_score(moments)}
    lacking = {}
    if (sample["image"] != sample["image"][0]).any():
        values["k-NN"] = neighbor_accuracy(features, labels, sample["image"])
    else:
        lacking["k-NN"] = "its neighbours are pixels of other images, and only one image has labels"
    if no_head is None:
        probabilities = sample["probabilities"]
        source = SourceClasses(classes, probabilities.shape[1])
        source.add(probabilities, labels)
        values["LEEP"] = float(source.log_likelihood(probabilities, labels)) / len(labels)
        values["NCE"] = source.nce()
    else:
        lacking |= {"LEEP": no_head, "NCE": no_head}
    return Scores(values, lacking)
