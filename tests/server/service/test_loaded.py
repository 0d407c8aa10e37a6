"""Settings reach the parts that they concern."""

from __future__ import annotations

from server.cluster.lease import Terms
from server.service.loaded import terms_of
from server.settings import ClusterSettings


def test_leases_last_as_long_as_is_set() -> None:
    assert terms_of(ClusterSettings()) == Terms()
    longer = ClusterSettings(lease_seconds=30, renew_seconds=9, margin_seconds=2)
    assert terms_of(longer) == Terms(lease=30, renew=9, margin=2)
