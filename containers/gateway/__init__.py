"""The ingress gateway: open-loop generator and runner of task DAGs."""
