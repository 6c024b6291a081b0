"""The decisions: pure functions over frozen values. No clock, no dice, no machine."""
