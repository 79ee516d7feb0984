"""What a run is told: frozen dataclasses, one per section of the configuration, each validating itself.

The YAML file of the command line becomes these (``hwgen.config``); library users construct them directly. Every
field has its section and name in the error message, so that `quantize.activations` can be found in the file.
"""

from __future__ import annotations

from pymodel.settings._conv import ConvSettings
from pymodel.settings._data import EMBEDDED_SOURCES, SOURCES, DataSettings, Scale, Source, TaskName
from pymodel.settings._model import BASES, CONV_FAMILIES, FAMILIES, ModelSettings
from pymodel.settings._quantize import CODERS, PTQ_METHODS, QAT_METHODS, STARTS, QuantizeSettings
from pymodel.settings._train import DistillSettings, PruneSettings, TrainSettings

__all__ = [
    "BASES",
    "CODERS",
    "CONV_FAMILIES",
    "EMBEDDED_SOURCES",
    "FAMILIES",
    "PTQ_METHODS",
    "QAT_METHODS",
    "SOURCES",
    "STARTS",
    "ConvSettings",
    "DataSettings",
    "DistillSettings",
    "ModelSettings",
    "PruneSettings",
    "QuantizeSettings",
    "Scale",
    "Source",
    "TaskName",
    "TrainSettings",
]
