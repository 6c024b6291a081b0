"""Random streams keyed by (seed, name); they live one floor down because generated topologies draw too."""

from testbed.topology.streams import stream, uniforms

__all__ = ["stream", "uniforms"]
