"""Distances on the earth."""

from math import asin, cos, radians, sin, sqrt

_EARTH_KM = 6371.0088

Place = tuple[float, float]
"""Latitude and longitude, in degrees."""


def distance_km(one: Place, other: Place) -> float:
    """The great-circle distance between two places (haversine)."""
    (lat1, lon1), (lat2, lon2) = ((radians(p[0]), radians(p[1])) for p in (one, other))
    a = sin((lat2 - lat1) / 2) ** 2 + cos(lat1) * cos(lat2) * sin((lon2 - lon1) / 2) ** 2
    return 2 * _EARTH_KM * asin(min(1.0, sqrt(a)))
