"""For every fault of the catalogue, the live test that shows its effect and its end by an independent instrument."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from testbed.catalogue import kinds

LIVE = Path(__file__).parents[1] / "live_run"
#: kind → (file, test, instrument)
EVIDENCE = {
    "bandwidth_drop": ("test_link_faults", "test_bandwidth_drop", "ping"),
    "burst_train": ("test_hands_faults", "test_a_load_by_hand", "/proc/net/dev"),
    "controller_lost": ("test_service_faults", "test_without_its_controller_a_cut_is_not_led_round", "ping, ovs-vsctl"),
    "controller_slow": ("test_service_faults", "test_a_slow_controller_leads_round_later", "ping"),
    "corrupt": ("test_link_faults", "test_corrupt", "/proc/net/snmp"),
    "cpu_squeeze": ("test_service_faults", "test_a_squeezed_node_has_a_share_of_its_quota", "cgroup files"),
    "delay_spike": ("test_link_faults", "test_delay_in_one_direction", "ping"),
    "docker_failing": ("test_service_faults", "test_docker_fails_for_a_while", "docker ps"),
    "docker_slow": ("test_service_faults", "test_docker_is_slow_for_a_while", "a clock"),
    "duplicate": ("test_link_faults", "test_duplicate", "ping"),
    "flash_crowd": ("test_hands_faults", "test_a_crowd_walks_from_one_gateway_to_the_other", "/proc/net/dev"),
    "jitter": ("test_link_faults", "test_jitter", "ping"),
    "link_down": ("test_link_faults", "test_down_goes_round_and_comes_back", "ping"),
    "link_flap": ("test_hands_faults", "test_a_link_flaps", "operstate"),
    "link_trace": ("test_link_faults", "test_a_trace_of_rates", "ping"),
    "load_ramp": ("test_hands_faults", "test_a_load_by_hand", "/proc/net/dev"),
    "load_spike": ("test_hands_faults", "test_a_load_by_hand", "/proc/net/dev"),
    "load_trace": ("test_hands_faults", "test_a_load_by_hand", "/proc/net/dev"),
    "loss": ("test_link_faults", "test_loss", "ping"),
    "memory_squeeze": (
        "test_service_faults",
        "test_a_squeezed_node_s_memory_is_held_back",
        "cgroup files",
    ),
    "node_crash": ("test_node_crash", "test_a_node_crashes_and_returns", "docker inspect"),
    "node_pause": ("test_service_faults", "test_a_paused_node_keeps_its_sockets_and_goes_on", "/proc/PID/status"),
    "node_restart": ("test_service_faults", "test_a_node_restarts_with_its_services", "docker inspect"),
    "partition": ("test_link_faults", "test_halves_and_a_bridge_between_them", "operstate, ping"),
    "reorder": ("test_link_faults", "test_reorder", "ping"),
    "service_errors": ("test_service_faults", "test_slow_failing_killed_and_unheard_under_load", "the draws"),
    "service_hang": ("test_service_faults", "test_a_service_hangs_in_one_instance_or_all", "/proc/PID/status"),
    "service_kill": ("test_service_faults", "test_a_killed_instance_is_gone_and_known", "docker inspect"),
    "slow_service": ("test_service_faults", "test_slow_failing_killed_and_unheard_under_load", "the draws"),
    "stale_view": ("test_service_faults", "test_slow_failing_killed_and_unheard_under_load", "reports per slot"),
    "switch_crash": ("test_link_faults", "test_cut_off_and_back", "ping"),
}
#: Not of the machine: what the policy is told, by its own decisions in tests/run/test_twin_faults.py; and nothing.
ELSEWHERE = {"nothing", "wrong_profile"}


def test_no_kind_is_without_evidence() -> None:
    assert set(EVIDENCE) | ELSEWHERE == set(kinds("testbed.faults"))


@pytest.mark.parametrize("kind", EVIDENCE)
def test_the_test_is_there_and_live(kind: str) -> None:
    file, name, _ = EVIDENCE[kind]
    tree = ast.parse((LIVE / f"{file}.py").read_text())
    functions = {f.name for f in tree.body if isinstance(f, ast.FunctionDef)}
    marks = {ast.unparse(a) for a in tree.body if isinstance(a, ast.Assign)}
    assert name in functions and "pytestmark = pytest.mark.live" in marks
