"""Random streams keyed by (seed, name); they live one floor down because generated topologies draw too."""

from testbed.topology.streams import stream

__all__ = ["stream"]
