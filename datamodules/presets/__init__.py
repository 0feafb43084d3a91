"""The known benchmarks as they unpack: layouts, splits, class names and label maps."""

from datamodules.presets.acdc import ACDC
from datamodules.presets.camvid import CamVid
from datamodules.presets.camvid11 import CamVid11
from datamodules.presets.cityscapes import Cityscapes
from datamodules.presets.dark_zurich import DarkZurich
from datamodules.presets.gta5 import GTA5
from datamodules.presets.loveda import LoveDA
from datamodules.presets.pascal_voc import PascalVOC
from datamodules.presets.synthia import Synthia

__all__ = ["ACDC", "GTA5", "CamVid", "CamVid11", "Cityscapes", "DarkZurich", "LoveDA", "PascalVOC", "Synthia"]
