"""Many ranks' messages folded into one result in rank order; pure: no process, no socket, no clock."""

from kernelkit.outputs.collect import Display, RankOutput, Stream
from kernelkit.outputs.fold import Block, fold
from kernelkit.outputs.render import render_cell, render_values

__all__ = ["Block", "Display", "RankOutput", "Stream", "fold", "render_cell", "render_values"]
