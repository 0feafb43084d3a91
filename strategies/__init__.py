"""The methods: one public class a file, named after it; ``base.py`` is the seam."""

from strategies.base import Losses, Network, ParameterGroup, Step, Strategy
from strategies.fine_tune import FineTune
from strategies.source_only import SourceOnly

__all__ = ["FineTune", "Losses", "Network", "ParameterGroup", "SourceOnly", "Step", "Strategy"]
