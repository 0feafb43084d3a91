"""The methods: one public class a file, named after it; ``base.py`` is the seam."""

from strategies.adaptive_batch_norm import AdaptiveBatchNorm
from strategies.adversarial_alignment import AdversarialAlignment
from strategies.base import Losses, Network, ParameterGroup, Step, Strategy
from strategies.class_mix import ClassMix
from strategies.daformer import DAFormer
from strategies.entropy_minimization import EntropyMinimization
from strategies.fine_tune import FineTune
from strategies.fourier_style import FourierStyle
from strategies.masked_consistency import MaskedConsistency
from strategies.mean_teacher import MeanTeacher
from strategies.moment_alignment import MomentAlignment
from strategies.partial_freezing import PartialFreezing
from strategies.self_training import SelfTraining
from strategies.source_only import SourceOnly
from strategies.wrapper import Wrapper

__all__ = [
    "AdaptiveBatchNorm",
    "AdversarialAlignment",
    "ClassMix",
    "DAFormer",
    "EntropyMinimization",
    "FineTune",
    "FourierStyle",
    "Losses",
    "MaskedConsistency",
    "MeanTeacher",
    "MomentAlignment",
    "Network",
    "ParameterGroup",
    "PartialFreezing",
    "SelfTraining",
    "SourceOnly",
    "Step",
    "Strategy",
    "Wrapper",
]
