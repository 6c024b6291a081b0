"""The scenario file as pydantic models: what a user may write, with units, bounds and meanings.

Frozen contract (design.md §7). Unknown keys are refused everywhere; `loader.py` reads a file into
`Scenario`, with line and column for every problem; `resolve.py` turns it into a Topology and a Model.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from testbed.units import BitsPerSecond, Bytes, PerSecond, Seconds

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,30}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class NodeKind(Strict):
    cpu: Positive  # cores, C_v
    memory: Bytes
    speed: Positive = 1.0
    price: Positive = 1.0


class RateLaw(Strict):
    """Processing-rate distribution, mean 1 (controller.model.Law)."""

    law: Literal["deterministic", "uniform", "exponential", "lognormal", "gamma"] = "deterministic"
    spread: Fraction = 0.0  # uniform: work × U(1−spread, 1+spread)
    shape: Positive = 1.0  # gamma: work ÷ f, f ~ Gamma(shape, 1/shape) floored
    cv: NonNegative = 0.0  # lognormal: coefficient of variation of the work
    floor: Positive = 0.1


class ServiceCosts(Strict):
    deploy: NonNegative = 0.0
    keep: NonNegative = 0.0
    parallel: NonNegative = 0.0


class Service(Strict):
    tier: Literal["core", "light"]
    work: Seconds  # x_m at speed 1
    rate: RateLaw = RateLaw()
    cpu: Positive = 1.0  # core: per instance; light: per worker
    memory: Bytes  # core: per instance; light: per worker
    streams: Annotated[int, Field(ge=1, le=64)] = 1  # core only: κ_m
    startup: Seconds = 0.0
    state: Bytes = 0.0
    costs: ServiceCosts = ServiceCosts()


class TaskStage(Strict):
    service: Name | None = None  # default: the stage's own name
    inputs: dict[str, Bytes]  # predecessor stage or "ingress" → bytes


class Task(Strict):
    share: NonNegative
    deadline: Seconds
    epsilon: Annotated[float, Field(gt=0, lt=1)] = 0.1
    output: Bytes
    stages: dict[Name, TaskStage]


class AccessChannel(Strict):
    rate: BitsPerSecond
    nakagami: NonNegative = 0.0  # m; 0 = no fading


class Mmpp(Strict):
    low: Positive = 0.7
    high: Positive = 1.6
    mean_low: Seconds = 4.0
    mean_high: Seconds = 2.0


class ArrivalTrace(Strict):
    """Arrivals and sizes from a CSV: column names, and how tokens become bytes and work."""

    file: str
    time: str = "TIMESTAMP"
    size_in: str | None = None  # column of input tokens (scales bytes of the DAG and its work)
    size_out: str | None = None  # column of output tokens (scales work of core services and the result)
    start: Seconds = 0.0  # offset into the trace
    rate: PerSecond | None = None  # rescale the time axis so that the window's mean rate is this; None: as recorded


class Arrivals(Strict):
    law: Literal["poisson", "mmpp", "ramp", "spike", "trace"] = "poisson"
    rate: PerSecond = 1.0  # tasks/s over all ingresses at load 1
    mmpp: Mmpp = Mmpp()
    ramp_to: Positive = 1.0  # ramp: rate grows linearly to rate × ramp_to over the run
    spike_factor: Positive = 1.0  # spike: rate × factor …
    spike_at: Seconds = 0.0  # … from here …
    spike_for: Seconds = 0.0  # … for so long
    trace: ArrivalTrace | None = None
    weights: dict[Name, NonNegative] | None = None  # ingress → share; None: equal, or dirichlet
    dirichlet: Positive | None = None  # weights drawn per seed from Dirichlet(c, …, c)
    planner_error: Fraction = 0.0  # truth = planner's view × U(1−e, 1+e), renormalised


class Bandwidth(Strict):
    """One fluctuation of link bandwidth: for all links selected, independent paths per direction off."""

    links: str = "trunks"  # "trunks", "all", or a link name "a--b" (also "a->b": one direction)
    law: Literal["constant", "markov", "trace"] = "constant"
    levels: list[Positive] = [1.0]  # markov: factors of the nominal rate
    mean_dwell: Seconds = 4.0  # markov: mean time in a level, exponential; next level uniform among the others
    file: str | None = None  # trace: a Mahimahi packet-opportunity file
    scale: Positive = 1.0  # trace: rate × scale


class Fault(Strict):
    """kind names a file of testbed/faults; `with` holds its own parameters, checked by that file."""

    name: Name | None = None
    kind: str
    target: str
    at: Seconds
    duration: Seconds = Field(alias="for")
    parameters: dict[str, Any] = Field(default_factory=dict, alias="with")


class PolicyChoice(Strict):
    name: str = "two_tier"
    parameters: dict[str, float] = {}


class Variation(Strict):
    """Multiplied once per seed by U(1−x, 1+x): each work, each size and edge, node speeds; see e12."""

    work: Fraction = 0.0
    size: Fraction = 0.0
    speed: Fraction = 0.0


class Run(Strict):
    warmup: Seconds = 10.0
    duration: Seconds = 40.0  # measured window, after the warm-up
    slot: Seconds = 1.0
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    dilate: Annotated[float, Field(ge=1, le=1000)] = 1.0
    shrink: Annotated[float, Field(ge=1, le=100000)] = 1.0
    view_interval: Seconds = 0.1
    detection: Seconds = 0.5
    contention: NonNegative = 1.0
    queue: Literal["edf", "fifo"] = "edf"
    queue_limit: Annotated[int, Field(ge=1, le=100000)] = 1000
    early_drop: bool = True
    admission: bool = True
    mode: Literal["idle", "busy"] = "idle"
    steering: Literal["sender", "switch"] = "sender"
    k_cpu: Positive | None = None  # node quota = C_v ÷ K_cpu; None: 1 when idle, what fits the machine when busy


class Claim(Strict):
    id: Name
    metric: str  # dotted path into summary.json, e.g. "on_time_rate"
    at_least: float | None = None
    at_most: float | None = None
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    runs: Annotated[int, Field(ge=1, le=10000)] = 1


class Scenario(Strict):
    name: Name
    question: str
    topology: str | dict[str, Any]  # a name, a file, or {generator: line|ring|tree|metro, …}
    nodes: dict[Name, NodeKind]
    services: dict[Name, Service]
    tasks: dict[Name, Task]
    access: AccessChannel
    arrivals: Arrivals
    load: Positive = 1.0
    plan_load: Positive = 1.0
    policy: PolicyChoice = PolicyChoice()
    bandwidth: list[Bandwidth] = []
    faults: list[Fault] = []
    variation: Variation = Variation()
    run: Run = Run()
    claims: list[Claim] = []
