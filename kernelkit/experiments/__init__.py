"""Experiments that can be done again: a record of what ran where with which result, and two records compared.

with kernelkit.experiment("decode", prompt=prompt, seed=1) as run:
    run.record("answer", model.generate(prompt))
run.finished.save("first.json")
kernelkit.experiments.compare("first.json", "second.json").sentences
"""

from kernelkit.experiments.comparing import Comparison, compare
from kernelkit.experiments.parts import Code, Figure, Host, Model, Place, Written
from kernelkit.experiments.record import Experiment
from kernelkit.experiments.running import Run, experiment

__all__ = [
    "Code",
    "Comparison",
    "Experiment",
    "Figure",
    "Host",
    "Model",
    "Place",
    "Run",
    "Written",
    "compare",
    "experiment",
]
