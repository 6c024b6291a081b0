"""What the stub service and the ingress gateway share. Standard library only (plus routing.py, copied beside it)."""
