"""A language model over the ranks of a cluster: load it, generate with it, see what the ranks hold."""

from kernelkit.model.chat import Chat as Chat
from kernelkit.model.loading import Layout as Layout
from kernelkit.model.loading import Strategy as Strategy
from kernelkit.model.sharded import ShardedModel as ShardedModel
