"""Places on the earth: the delay of a fibre between two of them, and where a place without coordinates lies."""

from __future__ import annotations

from collections.abc import Sequence
from math import asin, atan2, cos, degrees, hypot, radians, sin, sqrt

#: Mean earth radius, m (IUGG), and two thirds of the speed of light in vacuum, m/s (light in fibre).
EARTH_RADIUS = 6_371_008.8
FIBRE_SPEED = 299_792_458.0 * 2 / 3
#: No trunk is shorter than this, s (design.md §3).
LEAST_DELAY = 0.1e-3

Coordinates = tuple[float, float]  # longitude, latitude, degrees


def great_circle(a: Coordinates, b: Coordinates) -> float:
    """Distance in metres along the surface (haversine)."""
    (lon_a, lat_a), (lon_b, lat_b) = (tuple(map(radians, p)) for p in (a, b))
    h = sin((lat_b - lat_a) / 2) ** 2 + cos(lat_a) * cos(lat_b) * sin((lon_b - lon_a) / 2) ** 2
    return 2 * EARTH_RADIUS * asin(min(1.0, sqrt(h)))


def fibre_delay(a: Coordinates, b: Coordinates) -> float:
    """One-way propagation delay in seconds at two thirds of light speed, at least 0.1 ms."""
    return max(great_circle(a, b) / FIBRE_SPEED, LEAST_DELAY)


def middle(places: Sequence[Coordinates]) -> Coordinates:
    """The mean direction of the places seen from the earth's centre (right across the date line too)."""
    x = sum(cos(radians(lat)) * cos(radians(lon)) for lon, lat in places)
    y = sum(cos(radians(lat)) * sin(radians(lon)) for lon, lat in places)
    z = sum(sin(radians(lat)) for _, lat in places)
    return degrees(atan2(y, x)), degrees(atan2(z, hypot(x, y)))


def filled(places: Sequence[Coordinates | None], neighbours: Sequence[Sequence[int]]) -> list[Coordinates | None]:
    """Missing places taken from the mean of the neighbours, in rounds outward from the known ones.

    A place stays None only where its whole component has no coordinates.
    """
    known = list(places)
    while True:
        found = {}
        for i, place in enumerate(known):
            around = [p for j in neighbours[i] if (p := known[j]) is not None]
            if place is None and around:
                found[i] = middle(around)
        if not found:
            return known
        for i, place in found.items():
            known[i] = place
