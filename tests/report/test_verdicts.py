"""Verdicts as JUnit XML and as a page."""

from xml.etree import ElementTree

from testbed.report.junit import junit
from testbed.report.verdicts import page
from testbed.verdict.decide import decide, gather
from tests.verdict.test_decide import claim, summary, wobble


def test_junit_shows_claims_as_tests():
    run = lambda cell: summary(0.86 + wobble(cell.seed))  # noqa: E731
    entries = decide([gather(claim(), 1, run), gather(claim(id="bad", at_least=0.9), 1, run)])
    entries += decide([gather(claim(id="lost\x00<"[:4]), 1, lambda cell: None)])
    root = ElementTree.fromstring(junit({"claims": [e | {"file": "f"} for e in entries]}))
    (suite,) = root
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    kinds = {case.get("name"): [child.tag for child in case] for case in suite}
    assert kinds == {"c": ["system-out"], "bad": ["failure"], "lost": ["error"]}


def test_the_page_shows_every_claim_and_leads_to_its_runs():
    run = lambda cell: summary(0.86 + wobble(cell.seed))  # noqa: E731
    entries = decide([gather(claim(), 1, run), gather(claim(id="gone"), 1, lambda cell: None)])
    found = {
        "claims": [e | {"file": "f", "runs_in": ["runs/f/s1", "runs/f/s2"]} for e in entries], "world": "twin",
        "verdict": "unknown", "plan": "a" * 64, "family": 1, "failed": {"runs/f/s2": "it <could> not run"},
    }  # fmt: skip
    plan = {"files": [{"name": "f", "question": "Does <it> hold?", "sha256": "b" * 64}]}
    text = page(found, plan)
    assert text == page(found, plan)
    for words in ("Does &lt;it&gt; hold?", "<b>c</b>", "<b>gone</b>", "runs/f/s1/report.html", "it &lt;could&gt; not"):
        assert words in text
    assert "<script" not in text and "http" not in text
