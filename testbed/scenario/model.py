"""The scenario file as pydantic models: what a user may write, with units, bounds and meanings.

The tables of docs/scenario-file.md are made from here (`reference.py`): a key is described once.

Frozen contract (design.md §7). Unknown keys are refused everywhere; `loader.py` reads a file into
`Scenario`, with line and column for every problem; `resolve.py` turns it into a Topology and a Model.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from testbed.units import BitsPerSecond, Bytes, PerSecond, PositiveSeconds, Seconds, Unit


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
Cores = Annotated[Positive, Unit("cores")]
Factor = Annotated[Positive, Unit("factor")]
Price = Annotated[NonNegative, Unit("price")]
PricePerSlot = Annotated[NonNegative, Unit("price per slot")]
File = Annotated[str, Unit("file")]
Column = Annotated[str, Unit("column")]
Selector = Annotated[str, Unit("selector")]
Path = Annotated[str, Unit("path")]

#: Seeds are keys of 32 bits.
LAST_SEED = 2**32 - 1


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class NodeKind(Strict):
    cpu: Cores = Field(description="C_v")
    memory: Bytes = Field(description="M_v; stands for accelerator memory")
    speed: Factor = Field(default=1.0, description="s_v: work takes work ÷ speed")
    price: Factor = Field(default=1.0, description="multiplies the costs of what runs here")


class RateLaw(Strict):
    """Processing-rate distribution, mean 1 (controller.model.Law)."""

    law: Literal["deterministic", "uniform", "exponential", "lognormal", "gamma"] = Field(
        default="deterministic", description="distribution of the service time around its mean"
    )
    spread: Fraction = Field(default=0.0, description="uniform: work × U(1−spread, 1+spread)")
    shape: Positive = Field(
        default=1.0, description="gamma: work ÷ f with f ~ Gamma(shape, 1/shape), a processing *rate*"
    )
    cv: NonNegative = Field(default=0.0, description="lognormal: coefficient of variation of the work")
    floor: Positive = Field(default=0.1, description="gamma: f is never less")


class ServiceCosts(Strict):
    deploy: Price = Field(default=0.0, description="c_dp, once per start")
    keep: PricePerSlot = Field(default=0.0, description="c_mt, per instance")
    parallel: PricePerSlot = Field(default=0.0, description="c_pl, per worker of a light service")


class Service(Strict):
    tier: Literal["core", "light"] = Field(
        description="core: placed once, by the integer program; light: sized every slot"
    )
    work: PositiveSeconds = Field(description="x_m, mean service time at speed 1, more than 0")
    rate: RateLaw = Field(default=RateLaw(), description="how service times vary")
    cpu: Cores = Field(default=1.0, description="core: per instance; light: per worker")
    memory: Bytes = Field(description="core: per instance; light: per worker")
    streams: Annotated[Count, Field(ge=1, le=64)] = Field(
        default=1, description="core only: κ_m, requests served at a time by one instance"
    )
    startup: Seconds = Field(default=0.0, description="from created to ready")
    state: Bytes = Field(default=0.0, description="travels over the network when an instance moves")
    costs: ServiceCosts = Field(default=ServiceCosts(), description="prices")


class TaskStage(Strict):
    service: Name | None = Field(default=None, description="which service; left out: the one called like the stage")
    inputs: Annotated[dict[str, Bytes], Field(min_length=1)] = Field(
        description="bytes from each predecessor, or from `ingress`; more than one makes a join"
    )


class Task(Strict):
    share: NonNegative = Field(description="part of the arrivals; shares are taken relative to their sum")
    deadline: PositiveSeconds = Field(
        description="D_n from the intended send to the result's return; at least the bare path"
    )
    epsilon: Annotated[Number, Field(gt=0, lt=1)] = Field(
        default=0.1, description="ε_n, the share of waits that may exceed their budget"
    )
    output: Bytes = Field(description="result of each last stage, back to the gateway")
    stages: Annotated[dict[Name, TaskStage], Field(min_length=1)] = Field(description="the DAG, stages by name")


class AccessChannel(Strict):
    rate: BitsPerSecond = Field(description="mean rate of a task's own channel")
    nakagami: NonNegative = Field(
        default=0.0, description="m of the fading: power gain Gamma(m, 1/m), drawn per task; 0: none"
    )


class Mmpp(Strict):
    low: Factor = Field(default=0.7, description="of the mean rate, in the low state")
    high: Factor = Field(default=1.6, description="of the mean rate, in the high state")
    mean_low: PositiveSeconds = Field(default=4.0, description="mean time in the low state, exponential")
    mean_high: PositiveSeconds = Field(default=2.0, description="mean time in the high state")


class ArrivalTrace(Strict):
    """Arrivals and sizes from a CSV: column names, and how tokens become bytes and work."""

    file: File = Field(description="CSV with a header")
    time: Column = Field(default="TIMESTAMP", description="seconds, or a date and time")
    size_in: Column | None = Field(
        default=None,
        description="input tokens: scale bytes and work; when left out, `ContextTokens` where the file has it",
    )
    size_out: Column | None = Field(
        default=None,
        description=(
            "output tokens: scale the work of core services; when left out, `GeneratedTokens` where the file has it"
        ),
    )
    start: Seconds = Field(default=0.0, description="offset into the trace")
    rate: PerSecond | None = Field(default=None, description="rescale time to this mean rate; left out: as recorded")


class Arrivals(Strict):
    law: Literal["poisson", "mmpp", "ramp", "spike", "trace"] = Field(
        default="poisson", description="how they are spread over time"
    )
    rate: PerSecond = Field(
        default=1.0,
        description="tasks over all ingresses at load 1; the planner's expectation under a trace as recorded",
    )
    mmpp: Mmpp = Field(default=Mmpp(), description="of `mmpp`")
    ramp_to: Factor = Field(
        default=1.0, description="of `ramp`: the rate grows linearly to rate × ramp_to over the run"
    )
    spike_factor: Factor = Field(default=1.0, description="of `spike`: rate × factor …")
    spike_at: Seconds = Field(default=0.0, description="… from here …")
    spike_for: Seconds = Field(default=0.0, description="… for so long")
    trace: ArrivalTrace | None = Field(default=None, description="of `trace`")
    weights: dict[Name, NonNegative] | None = Field(
        default=None, description="share of each ingress, relative to their sum; an ingress left out gets none"
    )
    dirichlet: Positive | None = Field(
        default=None, description="weights drawn per seed from Dirichlet(c, …, c); neither: equal"
    )
    planner_error: Fraction = Field(
        default=0.0, description="the truth is what the planner sees × U(1−e, 1+e), renormalised"
    )


class Bandwidth(Strict):
    """One fluctuation of link bandwidth: for all links selected, independent paths per direction off."""

    links: Selector = Field(
        default="trunks", description="`trunks`, `all`, a link `a--b` in either order, or one direction `a->b`"
    )
    law: Literal["constant", "markov", "trace"] = Field(default="constant", description="how the rate goes over time")
    levels: Annotated[list[Positive], Field(min_length=1)] = Field(
        default=[1.0], description="of `markov`: of the nominal rate; the next level is uniform among the others"
    )
    mean_dwell: PositiveSeconds = Field(default=4.0, description="of `markov`: mean time in a level, exponential")
    file: File | None = Field(
        default=None, description="of `trace`: a Mahimahi packet-opportunity file, or a `.csv` of times and rates"
    )
    scale: Factor = Field(default=1.0, description="of `trace`: multiplies the rate")


class When(Strict):
    """A condition on what a run measures, looked at every slot: exactly one of above and below."""

    metric: Literal["on_time", "backlog", "offered", "instances"] = Field(
        description=(
            "share of the tasks resolved in the last 5 s; requests waiting or in service; tasks/s of the "
            "last slot; instances"
        )
    )
    above: Number | None = Field(default=None, description="exactly one of the two")
    below: Number | None = Field(default=None, description="the other of the two")
    lasting: Seconds = Field(
        default=0.0, description="without a break for so long; conditions are looked at once a slot"
    )


#: Between the names of a fault that is aimed at several; no name contains it.
JOINED = ", "


class Fault(Strict):
    """kind names a file of testbed/faults; `with` holds its own parameters, checked by that file."""

    name: Name | None = Field(default=None, description="what measures call it; left out: kind and number")
    kind: Annotated[str, Unit("name")] = Field(description="a file of `testbed/faults`")
    target: Annotated[str, Unit("name or selector")] = Field(
        description=(
            "a link `a--b` in either order, a node, an ingress or a site; or chosen per seed: `any trunk`, "
            "`any link`, `any node`, `any ingress`, `any site`, `any service`, `busiest node` (most core "
            "work by the placement); or several: `all trunks`, `2 of nodes`, `25 % of trunks`"
        )
    )
    at: Seconds = Field(
        default=0.0, description="since t = 0; with `after`: since that fault's end; with `when`: not before"
    )
    duration: PositiveSeconds = Field(alias="for", description="how long; within the run")
    every: PositiveSeconds | None = Field(
        default=None, description="begins again so long after its last beginning, as `name_1`, `name_2`, …"
    )
    times: Annotated[Count, Field(ge=2, le=1000)] | None = Field(
        default=None, description="with `every`: how often; left out: as often as the run has room"
    )
    after: Name | None = Field(default=None, description="begins after the end of that fault")
    when: When | None = Field(default=None, description="begins when the condition holds, once")
    overlap: bool = Field(default=False, description="may be in force together with another fault on its target")
    parameters: dict[str, Any] = Field(default_factory=dict, alias="with", description="parameters of the kind")

    @property
    def targets(self) -> tuple[str, ...]:
        """What it is aimed at, once selectors are drawn: one, or several."""
        return tuple(self.target.split(JOINED))


class Safety(Strict):
    """What the shaking may not exceed, and when it ends."""

    nodes: Fraction = Field(
        default=1.0,
        description=(
            "share of the nodes that faults may hold at a time, at least one node; what exceeds it is "
            "withheld and recorded"
        ),
    )
    links: Fraction = Field(default=1.0, description="the same of the links")
    stop: list[When] = Field(
        default=[], description="any of them: every fault is reverted, the run ends and is *unknown*"
    )


class PolicyChoice(Strict):
    name: Annotated[str, Unit("name")] = Field(default="two_tier", description="a file of `controller/policies`")
    parameters: dict[str, Number] = Field(default={}, description="numbers over the defaults of that file")


class Variation(Strict):
    """Multiplied once per seed by U(1−x, 1+x): each work, each size and edge, node speeds; see e12."""

    work: Fraction = Field(default=0.0, description="each service's work × U(1−x, 1+x), once per seed")
    size: Fraction = Field(default=0.0, description="the bytes of each edge and output likewise")
    speed: Fraction = Field(default=0.0, description="each node's speed likewise")


class CorePlacement(Strict):
    """What the placement is told of latencies: a file (testbed/run/profile.py), and by how much it is wrong."""

    profile: File | None = Field(
        default=None,
        description=(
            "latencies better known than by the model: a run's `tasks.sqlite` (mean service time of each "
            "core service on each node it ran on), or JSON as below"
        ),
    )
    profile_error: Fraction = Field(
        default=0.0,
        description=(
            "every latency the placement sees is multiplied by U(1−e, 1+e), drawn once per seed: how much "
            "does the plan depend on its profile?"
        ),
    )


class Run(Strict):
    warmup: Seconds = Field(default=10.0, description="not measured; 24 h at most")
    duration: PositiveSeconds = Field(default=40.0, description="the measured window, after the warm-up; 24 h at most")
    slot: PositiveSeconds = Field(default=1.0, description="between two decisions")
    seed: Annotated[Count, Field(ge=0, le=LAST_SEED)] = Field(default=1, description="of everything random")
    dilate: Annotated[Number, Field(ge=1, le=1000), Unit("factor")] = Field(
        default=1.0, description="everything nominal this much slower"
    )
    shrink: Annotated[Number, Field(ge=1, le=100000), Unit("factor")] = Field(
        default=1.0, description="payloads and bandwidths divided by this"
    )
    view_interval: PositiveSeconds = Field(default=0.1, description="between two views pushed to the senders")
    detection: Seconds = Field(default=0.5, description="from a failure to its detection")
    contention: NonNegative = Field(
        default=1.0, description="α of (1 + α u²): how light services of a node slow each other"
    )
    queue: Literal["edf", "fifo"] = Field(default="edf", description="order of service")
    queue_limit: Annotated[Count, Field(ge=1, le=100000)] = Field(
        default=1000, description="requests an instance holds"
    )
    early_drop: bool = Field(
        default=True, description="requests are dropped as they come up when they and what follows can't end in time"
    )
    admission: bool = Field(default=True, description="gateways refuse what their estimate says will be late")
    mode: Literal["idle", "busy"] = Field(default="idle", description="services wait, or burn CPU")
    steering: Literal["sender", "switch"] = Field(default="sender", description="who chooses the instance")
    k_cpu: Factor | None = Field(
        default=None,
        description="a node's quota is C_v ÷ k_cpu; left out: 1 when idle, what fits the machine when busy",
    )


#: A value that `--set` takes: what a claim changes of its scenario.
Value = bool | int | float | str


class Against(Strict):
    """The other side of a paired claim: the same seeds under another policy, or with other values, or both."""

    policy: Name | None = Field(default=None, description="the other side's policy")
    set: dict[str, Value] = Field(default={}, description="what else differs there: path → value")
    by: Literal["difference", "ratio"] = Field(
        default="difference", description="this side minus the other, or divided by it"
    )


class Sweep(Strict):
    """A claim over several values of one setting, on the same seeds."""

    path: Path = Field(description="what is swept, e.g. `load` or `faults.0.target`")
    values: Annotated[list[Value], Field(min_length=2, max_length=1000)] = Field(description="at least two")
    rule: Literal["each", "drop"] = Field(
        default="each",
        description="each: the claim holds at every value; drop: of the metric's fall from a value to the next",
    )


class Claim(Strict):
    """At least or at most a threshold, on the mean over a fixed number of runs with seeds run.seed, +1, …"""

    id: Name = Field(description="what verdicts and exit codes call it")
    metric: Path = Field(description="a number of `summary.json`, for example `on_time_rate` or `latency_s.vqa.p95`")
    at_least: Number | None = Field(default=None, description="exactly one of the two")
    at_most: Number | None = Field(default=None, description="the other of the two")
    confidence: Annotated[Number, Field(gt=0.5, lt=1)] = Field(default=0.95, description="of the one-sided bound")
    runs: Annotated[Count, Field(ge=1, le=10000)] = Field(
        default=1, description="1: a check on a single run; more: `verify` makes them, seeds `run.seed`, +1, …"
    )
    statistic: Literal["mean", "worst"] = Field(
        default="mean", description="worst: every single run has to hold; no interval"
    )
    set: dict[str, Value] = Field(
        default={}, description="changes of the scenario for this claim: path → value, as with `--set`"
    )
    against: Against | None = Field(
        default=None, description="a paired claim: the metric minus (or over) the other side's, seed by seed"
    )
    sweep: Sweep | None = Field(default=None, description="over several values of one setting, on the same seeds")

    @property
    def single(self) -> bool:
        """Whether one run of the scenario as it stands decides it."""
        return self.runs == 1 and not self.set and self.against is None and self.sweep is None


class Scenario(Strict):
    name: Name = Field(description="what records call it")
    question: str = Field(description="what the scenario asks, one sentence")
    topology: str | dict[str, Any] = Field(
        description="the network: a name in `topologies/`, a YAML, GML or GraphML file, or a generator (below)"
    )
    nodes: Annotated[dict[Name, NodeKind], Field(min_length=1)] = Field(
        description="node kinds by name; their order is the order in which they are dealt to nodes without a kind"
    )
    services: Annotated[dict[Name, Service], Field(min_length=1)] = Field(description="services by name")
    tasks: Annotated[dict[Name, Task], Field(min_length=1)] = Field(description="task types by name")
    access: AccessChannel = Field(description="the private access channel of each task")
    arrivals: Arrivals = Field(description="when tasks arrive, and where")
    load: Factor = Field(default=1.0, description="multiplies the arrivals, nothing else")
    plan_load: Factor = Field(default=1.0, description="load the core placement is planned for")
    policy: PolicyChoice = Field(default=PolicyChoice(), description="who decides")
    placement: CorePlacement = Field(default=CorePlacement(), description="what core placement is told of latencies")
    bandwidth: list[Bandwidth] = Field(
        default=[], description="fluctuations of link bandwidth; of two for one link the later counts"
    )
    faults: list[Fault] = Field(default=[], description="what goes wrong, when")
    safety: Safety = Field(default=Safety(), description="what the shaking may not exceed, and when it ends")
    variation: Variation = Field(default=Variation(), description="how much the instance differs from seed to seed")
    run: Run = Field(default=Run(), description="length, seed, scales, rules that hold for every policy")
    claims: list[Claim] = Field(default=[], description="what is to be shown")
