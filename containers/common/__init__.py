"""What the stub service and the ingress gateway share. Standard library only (plus routing/, copied beside it)."""
