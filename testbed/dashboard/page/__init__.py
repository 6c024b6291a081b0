"""The live page and the metrics of a run that goes on: a process of its own, fed through a socket pair."""
