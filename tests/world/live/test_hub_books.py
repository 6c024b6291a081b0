"""What the hub knows of an instance that has died."""

from testbed.world.live.hub_books import Member


def test_what_a_dead_instance_did_shortly_before_its_last_report_may_have_died_with_it():
    """A crash is known half a second later: counted from then, its last results would be taken for delivered."""
    member = Member("a-1", "stub", "", {})
    member.held[7, "cut", 1] = 99.9
    member.recent.extend([(99.0, 1, 1), (99.8, 2, 1), (99.95, 3, 2)])
    member.heard = 100.0
    assert member.whereabouts(0.3) == ([(2, 1), (3, 2), (7, 1)], [(1, 1)])
