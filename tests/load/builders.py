"""A two-ingress model small enough to count by hand."""

from controller.model import Access, Core, Costs, Ingress, Input, Law, Light, Model, Node, Paths, Stage, TaskType

COSTS = Costs(20.0, 4.0, 0.5)


def model(law: Law = Law("gamma", shape=2.0), m: float = 3.0) -> Model:  # noqa: B008
    core = Core("llm", 0.06, 6.0, 16e9, 3, 2.0, COSTS)
    light = Light("image", 0.03, 1.0, 3e8, 0.5, COSTS, law)
    stages = (Stage("image", "image", (Input("ingress", 2e6),)), Stage("llm", "llm", (Input("image", 4e5),)))
    types = (
        TaskType("a", 0.75, 0.7, 0.1, stages, 1e5),
        TaskType("b", 0.25, 0.5, 0.1, stages[:1], 1e5),
    )
    return Model(
        (Node("n1", "west", 32, 48e9), Node("n2", "east", 32, 48e9)),
        (Ingress("gw1", "west", 0.5), Ingress("gw2", "east", 0.5)),
        (core,), (light,), types, Paths({}, {}), Access(150e6, m), 20.0,
    )  # fmt: skip
