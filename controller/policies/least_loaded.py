"""Least loaded: decides as `two_tier`, but senders take the instance with the least load per worker, wherever it is."""

from __future__ import annotations

from controller.policies._tiers import Tiers

POLICY = Tiers("least_loaded", "least_backlog")
