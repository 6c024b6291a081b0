"""The page of a run against records with known content."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from testbed.cli import main
from testbed.record.link_use import MOST, link_use
from testbed.report.page import page, write_figures
from testbed.report.run_records import RunRecords
from testbed.report.sections import frame, network_map, over_time, placement, resources, tasks
from tests.report.kit import GROUND, parsed, records


@pytest.fixture
def known(tmp_path: Path) -> Path:
    return records(tmp_path / "known")


def numbers(section) -> list[list]:
    (picture, *_) = section.pictures
    return [list(row) for row in picture.rows]


def test_the_page_is_whole_balanced_and_fetches_nothing(known: Path):
    text = page(known)
    found = parsed(text)
    assert not found.faults and not found.open
    assert "script" not in found.seen and not found.fetched and "http" not in text and "url(" not in text
    assert found.seen.count("svg") == 11  # three maps and their scale, two of use, five others
    assert "prefers-color-scheme:dark" in text and "@media print" in text
    assert text.index("verdict, 1 claim") < text.index("may it be believed?") < text.index("On time through the run")


def test_the_same_records_give_the_same_bytes_wherever_they_lie(known: Path, tmp_path: Path):
    assert page(known) == page(known) == page(records(tmp_path / "elsewhere"))


def test_on_time_counts_every_second(known: Path):
    assert numbers(over_time.section(RunRecords.read(known))) == [[k, 10, 8, 1, 0.8] for k in range(10)]


def test_cost_is_what_existed_at_its_price(known: Path):
    rows = numbers(over_time.cost(RunRecords.read(known)))
    assert all(row[1] == pytest.approx(4.0 + 1.0 + 0.5) for row in rows)  # llm 4 + 0 · 2, prep 1 + 0.5 · 1
    assert [row[0] for row in rows if row[2]] == [5.0] and sum(row[2] for row in rows) == 4.0


def test_time_goes_where_the_rows_say(known: Path):
    (prep, llm) = numbers(tasks.stages(RunRecords.read(known)))
    assert prep[:3] == ["ask", "prep", 90] and prep[3:] == pytest.approx([60, 10, 30])
    assert llm[:3] == ["ask", "llm", 90] and llm[3:] == pytest.approx([20, 0, 50])


def test_the_histogram_holds_every_task_that_came_back(known: Path):
    rows = numbers(tasks.latency(RunRecords.read(known)))
    assert sum(n for *_, n in rows) == 90
    assert all(low <= 200 <= high + 1e-6 for _, low, high, _ in rows)


def test_the_map_shows_load_use_and_what_was_down(known: Path):
    before, during, after = network_map.section(RunRecords.read(known)).pictures
    assert "down" not in before.svg and "s1--s2: down" in during.svg and "s1--s2: 60%" in after.svg
    busy = {(what, name): share for what, name, _, _, share in before.rows}
    # ten tasks a second hold one core for 30 ms and two for 50 ms, of four
    assert busy["node", "n1"] == pytest.approx(10 * (0.03 + 2 * 0.05) / 4, rel=0.05) and busy["node", "n2"] == 0
    assert busy["link", "s1--s2"] == pytest.approx(0.1)


def test_windows_around_a_fault_do_not_reach_into_another():
    faults = [("a", "link_down", "x", 10.0, 20.0), ("b", "link_down", "x", 23.0, 29.0)]
    assert network_map._windows(faults[0], faults, 60.0) == [
        ("before", 0.0, 10.0), ("during", 10.0, 20.0), ("after", 20.0, 23.0)
    ]  # fmt: skip
    assert network_map._windows(faults[1], faults, 60.0)[0] == ("before", 20.0, 23.0)


def test_sites_lie_at_their_coordinates_if_all_have_them():
    places = {"west": (-10.0, 50.0), "east": (10.0, 50.0), "south": (0.0, 40.0)}
    sites = [{"name": n, "longitude": x, "latitude": y} for n, (x, y) in places.items()]
    spots = network_map.layout({"sites": sites, "nodes": [], "gateways": []})
    assert spots["west"][0] < spots["south"][0] < spots["east"][0]
    assert spots["west"][1] == spots["east"][1] < spots["south"][1]  # north is up
    sites[0]["longitude"] = None
    ring = network_map.layout({"sites": sites, "nodes": [], "gateways": []})
    assert len(set(ring.values())) == 3 and ring == network_map.layout({"sites": sites, "nodes": [], "gateways": []})


def test_a_move_is_in_the_timeline_and_its_reason_in_the_table(known: Path):
    found = placement.section(RunRecords.read(known))
    spans = {(m, v): (a, b, n) for m, v, a, b, n in found.pictures[0].rows}
    assert spans == {("llm", "n1"): (0, 10, 2), ("prep", "n1"): (0, 6, 1), ("prep", "n2"): (6, 10, 1)}
    assert "move prep-1 → prep-2 on n2" in found.body and "the crowd went east" in found.body


def test_a_run_not_to_be_believed_says_so_before_any_figure(tmp_path: Path):
    folder = records(tmp_path / "bad", valid=False, invalid_because=["the machine was overloaded"], verdict="unknown")
    text = page(folder)
    assert text.index("the machine was overloaded") < text.index("<svg")


def test_links_are_held_against_what_was_configured(tmp_path: Path):
    link = {"name": "s1--s2", "configured_bps": 8e6, "measured_bps": 7.6e6, "configured_delay_s": 0.01,
            "measured_delay_s": None}  # fmt: skip
    body = resources.fidelity(RunRecords.read(records(tmp_path / "r", links=[link]))).body
    for cell in ("8.00", "7.60", "-5.0%", "10.00", "–"):
        assert f">{cell}<" in body


def test_foreign_words_stay_words(tmp_path: Path):
    evil = "<script>alert('x')</script>"
    fault = {"name": evil, "kind": "link_down", "target": evil, "planned_at_s": 4.0, "applied_at_s": 4.0,
             "reverted_at_s": None, "verified": False, "evidence": evil}  # fmt: skip
    folder = records(
        tmp_path / "evil", scenario={"name": evil, "sha256": "a" * 64}, policy=evil, reason=evil, faults=[fault],
        scenario_text=f"# {evil}\n", invalid_because=[evil], valid=False, link_backend=evil,
        utilisation={"nodes": {evil: 0.5}, "links": {}, "gateways": {}},
        claims=[{"id": evil, "verdict": "pass", "estimate": None, "runs": 1}],
        waiting={evil: {"epsilon": 0.1, "violation_rate": None, "n": 0}},
        ground={**GROUND, "sites": [{"name": evil, "longitude": None, "latitude": None}]},
    )  # fmt: skip
    text = page(folder)
    found = parsed(text)
    assert "<script" not in text and not found.faults and not found.open and not found.fetched
    assert "&lt;script&gt;" in text


def test_records_of_before_have_a_page_without_what_they_lack(tmp_path: Path):
    folder = records(tmp_path / "old", ground={})
    text = page(folder)
    assert "The network was not recorded." in text and not parsed(text).faults


def test_a_run_without_a_single_task_has_a_page(tmp_path: Path):
    nothing = {"on_time_rate": None, "on_time_rate_by_type": {}, "latency_s": {}}
    assert not parsed(page(records(tmp_path / "none", tasks=0, **nothing))).faults


def test_the_page_of_a_large_run_is_no_larger(tmp_path: Path):
    """A quarter of a million tasks: the drawing bounds the size, whatever was drawn."""
    folder = records(tmp_path / "large", tasks=250_000)
    r = RunRecords.read(folder)
    assert r.step > 0 and len(page(folder).encode()) < 150_000
    n, *_ = numbers(over_time.section(r))
    assert n[:3] == [0, 25_000, 20_000]


def test_a_large_network_is_not_drawn_and_a_middle_one_only_as_sites(tmp_path: Path):
    def ring(n: int) -> dict:
        sites = [{"name": f"s{i}", "longitude": None, "latitude": None} for i in range(n)]
        nodes = [{"name": f"n{i}", "site": f"s{i}", "cpu": 4.0, "price": 1.0} for i in range(n)]
        links = [{"name": f"s{i}--s{(i + 1) % n}", "a": f"s{i}", "b": f"s{(i + 1) % n}", "role": "trunk",
                  "rate_bps": 1e8} for i in range(n)]  # fmt: skip
        return {**GROUND, "sites": sites, "nodes": nodes, "links": links}

    use = {"nodes": {f"n{i}": 0.1 for i in range(1000)}, "links": {}, "gateways": {}}
    text = page(records(tmp_path / "huge", ground=ring(1000), utilisation=use))
    assert "too many for a map" in text and len(text.encode()) < 200_000
    assert len(page(records(tmp_path / "middle", ground=ring(290), utilisation=use)).encode()) < 1_000_000


def test_figures_are_files_that_stand_alone(known: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["report", str(known), "--figures"]) == 0
    said = capsys.readouterr().out.split()
    assert said[0] == str(known / "report.html")
    files = {p.name: p for p in write_figures(known)}
    assert {str(p) for p in files.values()} == set(said[1:])
    for name in ("on_time", "latency", "stages", "map_1_during", "placement", "cost", "utilisation", "trunks"):
        root = ElementTree.parse(files[f"{name}.svg"]).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        text = files[f"{name}.svg"].read_text()
        assert "var(" not in text and "currentColor" not in text
        head, *rows = csv.reader(files[f"{name}.csv"].open())
        assert rows and all(len(row) == len(head) for row in rows)


def test_a_run_among_many_gets_the_short_page(known: Path):
    short = page(known, whole=False)
    assert "makes its whole page" in short and "On time through the run" in short and "Where the time goes" not in short
    assert not parsed(short).faults and len(short) < len(page(known)) / 2


def test_the_command_is_said_without_where_it_wrote():
    words = ["run", "a b.yaml", "--out", "/tmp/x", "--seed", "3", "--out=y", "--workers", "4"]
    assert frame.repeatable(words) == ["run", "a b.yaml", "--seed", "3"]


def test_link_use_is_the_counters_slope():
    found = link_use([0.0, 1.0, 1.0, 3.0], [[0, 0], [125, 0], [125, 0], [125, 1000]], ["a", "b"], [1000.0, 8000.0])
    assert found == {"at_s": [1.0, 3.0], "share": {"a": [1.0, 0.0], "b": [0.0, 0.5]}}
    assert link_use([0.0], [[0]], ["a"], [1.0]) == {"at_s": [], "share": {}}
    long = link_use(list(range(10_000)), np.arange(10_000)[:, None] * 125, ["a"], [1000.0])
    assert len(long["at_s"]) <= MOST and set(long["share"]["a"]) == {1.0}


def test_no_colour_of_a_figure_is_missing_from_the_sheet(known: Path):
    text = page(known)
    assert set(re.findall(r"var\(--(\w+)", text)) <= set(re.findall(r"--(\w+):#", text))


def test_a_fault_on_several_targets_is_drawn_and_named_once(tmp_path: Path) -> None:
    """A switch's death is on each of its links; a later spell of the same fault is another."""
    one = {"name": "dead", "kind": "switch_crash", "planned_at_s": 4.0, "verified": True, "evidence": ""}
    faults = [
        one | {"target": link, "applied_at_s": a, "reverted_at_s": b}
        for link, a, b in (("s1--s2", 4.0, 5.0), ("n1--s1", 4.01, 5.02), ("s1--s2", 7.0, 8.0))
    ]
    r = RunRecords.read(records(tmp_path / "run", faults=faults))
    assert r.faults == [
        ("dead", "switch_crash", ("s1--s2", "n1--s1"), 4.0, 5.02), ("dead", "switch_crash", ("s1--s2",), 7.0, 8.0),
    ]  # fmt: skip
    (on_time,) = over_time.section(r).pictures
    assert on_time.svg.count(">dead<") == 2
    assert "dead: switch_crash on s1--s2, n1--s1" in page(r.folder)
