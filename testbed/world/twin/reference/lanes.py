"""One direction of a link: a transmitter that serves bytes first in, first out, at a rate that may change.

With C(t) the bytes it could have sent until t, a message of B bytes whose head arrives at t is sent while C runs over

    [c, c + B],   c = max(C(t), c_free);    c_free ← c + B

so its place in the line is fixed when it comes, whatever the rate does later; only the clock times of c and c + B
follow the rate. The known future of the rate (a track) is in `when`; what nobody could know, a fault, changes
`factor`, and who waits has to ask again (transfers.py).
"""

from __future__ import annotations

from testbed.world.twin.layout import Floats


class Lane:
    """rate, delay, loss as in layout.Network. sent: bytes put on it so far."""

    def __init__(self, leads: int, rate: float, delay: float, loss: float) -> None:
        self.leads, self.delay, self.loss = leads, delay, loss
        self.up = True
        self.factor = 1.0
        self.free = 0.0  # c_free
        self.sent = 0.0
        self._times, self._rates, self._step = [0.0], [rate], 0
        self._time = self._c = 0.0  # C(_time) = _c

    def play(self, times: Floats, rates: Floats) -> None:
        """Follow these rates from now on; before the first of them, what it has now."""
        rate = self._rates[self._step]
        self._times, self._rates, self._step = [self._time, *times.tolist()], [rate, *rates.tolist()], 0

    def forward(self, now: float) -> float:
        """C(now)."""
        while self._step + 1 < len(self._times) and self._times[self._step + 1] <= now:
            at = self._times[self._step + 1]
            self._c += (at - self._time) * (self._rates[self._step] * self.factor)
            self._time = at
            self._step += 1
        self._c += (now - self._time) * (self._rates[self._step] * self.factor)
        self._time = now
        return self._c

    def when(self, c: float) -> float:
        """The time at which C reaches c, as far as is known now; not before the last `forward`."""
        time, have, step = self._time, self._c, self._step
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
