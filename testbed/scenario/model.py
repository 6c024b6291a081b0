"""The scenario file as pydantic models: what a user may write, with units, bounds and meanings.

Frozen contract (design.md §7). Unknown keys are refused everywhere; `loader.py` reads a file into
`Scenario`, with line and column for every problem; `resolve.py` turns it into a Topology and a Model.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from testbed.units import BitsPerSecond, Bytes, PerSecond, PositiveSeconds, Seconds


def _plain(value: Any) -> Any:
    """A number as it stands: "4 cores" and `yes` are not numbers, though pydantic would take some of them."""
    if isinstance(value, bool | str):
        raise ValueError(f"found {value!r}, expected a number without a unit")
    return value


Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,30}$")]
Number = Annotated[float, BeforeValidator(_plain), Field(allow_inf_nan=False)]
Count = Annotated[int, BeforeValidator(_plain)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
Positive = Annotated[Number, Field(gt=0)]
NonNegative = Annotated[Number, Field(ge=0)]


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
    work: PositiveSeconds  # x_m at speed 1
    rate: RateLaw = RateLaw()
    cpu: Positive = 1.0  # core: per instance; light: per worker
    memory: Bytes  # core: per instance; light: per worker
    streams: Annotated[Count, Field(ge=1, le=64)] = 1  # core only: κ_m
    startup: Seconds = 0.0
    state: Bytes = 0.0
    costs: ServiceCosts = ServiceCosts()


class TaskStage(Strict):
    service: Name | None = None  # default: the stage's own name
    inputs: Annotated[dict[str, Bytes], Field(min_length=1)]  # predecessor stage or "ingress" → bytes


class Task(Strict):
    share: NonNegative
    deadline: PositiveSeconds
    epsilon: Annotated[Number, Field(gt=0, lt=1)] = 0.1
    output: Bytes
    stages: Annotated[dict[Name, TaskStage], Field(min_length=1)]


class AccessChannel(Strict):
    rate: BitsPerSecond
    nakagami: NonNegative = 0.0  # m; 0 = no fading


class Mmpp(Strict):
    low: Positive = 0.7
    high: Positive = 1.6
    mean_low: PositiveSeconds = 4.0
    mean_high: PositiveSeconds = 2.0


class ArrivalTrace(Strict):
    """Arrivals and sizes from a CSV: column names, and how tokens become bytes and work."""

    file: str
    time: str = "TIMESTAMP"
    size_in: str | None = None  # column of input tokens; None: ContextTokens where the file has it
    size_out: str | None = None  # column of output tokens; None: GeneratedTokens where the file has it
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
    levels: Annotated[list[Positive], Field(min_length=1)] = [1.0]  # markov: factors of the nominal rate
    mean_dwell: PositiveSeconds = 4.0  # markov: mean time in a level, exponential; next level uniform among the others
    file: str | None = None  # trace: a Mahimahi packet-opportunity file
    scale: Positive = 1.0  # trace: rate × scale


class When(Strict):
    """A condition on what a run measures, looked at every slot: exactly one of above and below."""

    metric: Literal["on_time", "backlog", "offered", "instances"]  # of the last 5 s | requests | tasks/s | count
    above: Number | None = None
    below: Number | None = None
    lasting: Seconds = 0.0  # without a break for so long


class Fault(Strict):
    """kind names a file of testbed/faults; `with` holds its own parameters, checked by that file."""

    name: Name | None = None
    kind: str
    target: str  # a name of the topology, or "any trunk|link|node|ingress|site": drawn per seed
    at: Seconds = 0.0  # since t = 0; with `after`: since that fault's end; with `when`: not before
    duration: PositiveSeconds = Field(alias="for")
    every: PositiveSeconds | None = None  # again, so long after the last beginning
    times: Annotated[Count, Field(ge=2, le=1000)] | None = None  # with every; None: as often as the run has room
    after: Name | None = None  # the name of another fault
    when: When | None = None
    overlap: bool = False  # may be in force together with another fault on the same target
    parameters: dict[str, Any] = Field(default_factory=dict, alias="with")


class Safety(Strict):
    """What the shaking may not exceed, and when it ends."""

    nodes: Fraction = 1.0  # most nodes that faults may hold at a time, as a share
    links: Fraction = 1.0
    stop: list[When] = []  # any of them: every fault is reverted and the run ends, unknown


class PolicyChoice(Strict):
    name: str = "two_tier"
    parameters: dict[str, Number] = {}


class Variation(Strict):
    """Multiplied once per seed by U(1−x, 1+x): each work, each size and edge, node speeds; see e12."""

    work: Fraction = 0.0
    size: Fraction = 0.0
    speed: Fraction = 0.0


class CorePlacement(Strict):
    """What the placement is told of latencies: a file (testbed/run/profile.py), and by how much it is wrong."""

    profile: str | None = None
    profile_error: Fraction = 0.0


class Run(Strict):
    warmup: Seconds = 10.0
    duration: PositiveSeconds = 40.0  # measured window, after the warm-up
    slot: PositiveSeconds = 1.0
    seed: Annotated[Count, Field(ge=0, lt=2**32)] = 1
    dilate: Annotated[Number, Field(ge=1, le=1000)] = 1.0
    shrink: Annotated[Number, Field(ge=1, le=100000)] = 1.0
    view_interval: PositiveSeconds = 0.1
    detection: Seconds = 0.5
    contention: NonNegative = 1.0
    queue: Literal["edf", "fifo"] = "edf"
    queue_limit: Annotated[Count, Field(ge=1, le=100000)] = 1000
    early_drop: bool = True
    admission: bool = True
    mode: Literal["idle", "busy"] = "idle"
    steering: Literal["sender", "switch"] = "sender"
    k_cpu: Positive | None = None  # node quota = C_v ÷ K_cpu; None: 1 when idle, what fits the machine when busy


#: A value that `--set` takes: what a claim changes of its scenario.
Value = bool | int | float | str


class Against(Strict):
    """The other side of a paired claim: the same seeds under another policy, or with other values, or both."""

    policy: Name | None = None
    set: dict[str, Value] = {}  # path → value, as with --set
    by: Literal["difference", "ratio"] = "difference"  # this minus, or divided by, the other


class Sweep(Strict):
    """A claim over several values of one setting, on the same seeds."""

    path: str
    values: Annotated[list[Value], Field(min_length=2, max_length=1000)]
    rule: Literal["each", "drop"] = "each"  # it holds at each value | of the metric's drop from each value to the next


class Claim(Strict):
    """At least or at most a threshold, on the mean over a fixed number of runs with seeds run.seed, +1, …"""

    id: Name
    metric: str  # dotted path into summary.json, e.g. "on_time_rate"
    at_least: Number | None = None
    at_most: Number | None = None
    confidence: Annotated[Number, Field(gt=0.5, lt=1)] = 0.95
    runs: Annotated[Count, Field(ge=1, le=10000)] = 1
    statistic: Literal["mean", "worst"] = "mean"  # worst: every single run has to hold; no interval
    set: dict[str, Value] = {}  # changes of the scenario for this claim: path → value, as with --set
    against: Against | None = None
    sweep: Sweep | None = None

    @property
    def single(self) -> bool:
        """Whether one run of the scenario as it stands decides it."""
        return self.runs == 1 and not self.set and self.against is None and self.sweep is None


class Scenario(Strict):
    name: Name
    question: str
    topology: str | dict[str, Any]  # a name, a file, or {generator: line|ring|tree|metro, …}
    nodes: Annotated[dict[Name, NodeKind], Field(min_length=1)]
    services: Annotated[dict[Name, Service], Field(min_length=1)]
    tasks: Annotated[dict[Name, Task], Field(min_length=1)]
    access: AccessChannel
    arrivals: Arrivals
    load: Positive = 1.0
    plan_load: Positive = 1.0
    policy: PolicyChoice = PolicyChoice()
    placement: CorePlacement = CorePlacement()
    bandwidth: list[Bandwidth] = []
    faults: list[Fault] = []
    safety: Safety = Safety()
    variation: Variation = Variation()
    run: Run = Run()
    claims: list[Claim] = []
