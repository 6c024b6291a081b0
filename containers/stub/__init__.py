"""The stub service: a queue, p workers, joins; everything it does is told to it by the hub and by frames."""
