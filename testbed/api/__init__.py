"""Shaketable from Python (docs/python-api.md): runs and comparisons as tables, and a testbed held open.

from testbed.api import Scenario, compare, run
"""

from testbed.api.bed import Bed, Injection
from testbed.api.study import Comparison, Run, Scenario, compare, run

__all__ = ["Bed", "Comparison", "Injection", "Run", "Scenario", "compare", "run"]
