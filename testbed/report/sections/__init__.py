"""The sections of a run's page, each a function of its records."""
