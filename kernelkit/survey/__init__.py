"""Ask machines what they are, over ssh: `discover` makes a hostfile of it, `doctor` a list of cures."""

from __future__ import annotations

from kernelkit.survey.diagnosis import Diagnosis, HostDiagnosis
from kernelkit.survey.discover import Discovery, discover
from kernelkit.survey.doctor import doctor
from kernelkit.survey.machines import Survey, survey

__all__ = ["Diagnosis", "Discovery", "HostDiagnosis", "Survey", "discover", "doctor", "survey"]
