"""The classes of a domain without labels, by what a network predicts there and confuses elsewhere."""

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor


def corrected_histogram(confusion: Tensor, predicted: Tensor) -> Tensor:
    """Estimates the share of each class where only predictions are known (black box shift estimation, BBSE).

    With C[i, j] = p(prediction i, truth j) of the source and q[i] = p(prediction i) of the target it solves C w = q for
    w = p_target / p_source ≥ 0, by least squares, and returns w · p_source. It is right if images of a class look the
    same in both domains, which is what a domain gap denies: a second opinion beside the plain predictions.

    Reference: Lipton et al., Detecting and correcting for label shift with black box predictors, ICML 2018,
    https://arxiv.org/abs/1802.03916.

    Args:
        confusion: (C, C) pixels of the source by [prediction, truth].
        predicted: (C,) pixels of the target by prediction.

    Returns:
        (C,) float64 with a sum of 1, 0 for classes that the source has not; all 0 if the source's predictions explain
        none of the target's.
    """
    if not confusion.sum():
        return torch.zeros(len(confusion), dtype=torch.float64)
    joint = (confusion.double() / confusion.sum()).numpy()
    wanted = (predicted.double() / predicted.sum()).numpy()
    weights, _ = nnls(joint, wanted)
    estimate = weights * joint.sum(axis=0)
    return torch.from_numpy(estimate / max(estimate.sum(), np.finfo(float).tiny))
