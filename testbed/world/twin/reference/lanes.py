"""One direction of a link: a transmitter that serves what comes first in, first out, at a rate that may change.

What comes is a fluid: the bytes of several messages at once, each at the rate at which it reaches this lane. With C(t)
the bytes that could have been sent until t and q(t) those that wait, a byte that comes at t is sent when C reaches

    C(t) + q(t);      dq/dt = Σ inflows − dC/dt, and never below 0

so its place in the line is fixed when it comes, whatever the rate does later; only the clock's time of it follows the
rate. The known future of the rate (a track) is in `when`; what nobody could know, a fault, changes `factor`, and who
waits has to ask again (transfers.py).
"""

from __future__ import annotations

from testbed.world.twin.layout import Floats


class Lane:
    """rate, delay, jitter, loss as in layout.Network. c, q: C and q at `time`. sent: bytes put on it so far."""

    def __init__(self, leads: int, rate: float, delay: float, jitter: float, loss: float) -> None:
        self.leads, self.delay, self.jitter, self.loss = leads, delay, jitter, loss
        self.up = True
        self.factor = 1.0
        self.time = self.c = self.q = 0.0
        self.inflow, self.inflows = 0.0, 0  # bytes/s, and of how many messages
        self.sent = 0.0
        self._times, self._rates, self._step = [0.0], [rate], 0

    def play(self, times: Floats, rates: Floats) -> None:
        """Follow these rates from now on; before the first of them, what it has now."""
        rate = self._rates[self._step]
        self._times, self._rates, self._step = [self.time, *times.tolist()], [rate, *rates.tolist()], 0

    def forward(self, now: float) -> None:
        """Bring C and q to `now`."""
        while self._step + 1 < len(self._times) and self._times[self._step + 1] <= now:
            self._pass(self._times[self._step + 1])
            self._step += 1
        self._pass(now)

    def _pass(self, time: float) -> None:
        passed = time - self.time
        served = passed * (self._rates[self._step] * self.factor)
        self.c += served
        self.q = max(0.0, self.q + self.inflow * passed - served)
        self.time = time

    def flow(self, change: float, messages: int) -> None:
        """One message more or less flows in; as of the last `forward`."""
        self.inflows += messages
        self.inflow = self.inflow + change if self.inflows else 0.0

    def when(self, c: float) -> float:
        """The time at which C reaches c, as far as is known now; not before the last `forward`."""
        time, have, step = self.time, self.c, self._step
        while True:
            rate = self._rates[step] * self.factor
            if c <= have:
                return time
            reached = time + (c - have) / rate
            if step + 1 >= len(self._times) or reached <= self._times[step + 1]:
                return reached
            have += (self._times[step + 1] - time) * rate
            time = self._times[step + 1]
            step += 1

    def rate(self) -> float:
        """Bytes per second now (as of the last `forward`)."""
        return self._rates[self._step] * self.factor
