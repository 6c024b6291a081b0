"""The twin: a scenario as discrete events, in nominal time, without root, Docker or a network.

`world.TwinWorld` stands behind the World protocol and runs under the same control loop as the live world.
`stations.simulate` is the direct way to the engine: a queueing network of stations, workers and wires, with arrivals
and service times given; for closed forms, benchmarks and doubts. What is modelled, and how it is held against the
live world, is in docs/twin.md.
"""
