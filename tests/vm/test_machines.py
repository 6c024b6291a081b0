"""What keeps a virtual machine from being made or booted is said; the machine itself is `./shaketable vm-test`."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.errors import CannotRun
from testbed.vm import box, image, project, qemu, trial


def test_without_qemu_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get install qemu-system-x86" in qemu.lacking()


def test_without_the_programs_for_an_image_it_names_their_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SHAKETABLE_CACHE", str(tmp_path))
    monkeypatch.setattr(image, "NEEDS", {**image.NEEDS, "no-such-program": "some-package"})
    monkeypatch.setattr(image.platform, "machine", lambda: "x86_64")
    with pytest.raises(CannotRun, match="apt-get install some-package"):
        image.ensure(lambda what, takes: None)


def test_a_box_that_is_there_is_not_overwritten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(box.os, "geteuid", lambda: 0)
    (tmp_path / "x.box").write_text("mine")
    assert box.main([str(tmp_path / "x.box")]) == 2
    assert (tmp_path / "x.box").read_text() == "mine"


@pytest.mark.parametrize(
    ("needs", "package"), [({}, "qemu-utils"), ({"no-such-program": "some-package"}, "some-package")]
)
def test_without_the_programs_for_a_box_it_names_their_packages(
    needs: dict[str, str],
    package: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(box.os, "geteuid", lambda: 0)
    monkeypatch.setattr(image, "NEEDS", needs)
    monkeypatch.setattr(image.platform, "machine", lambda: "x86_64")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert box.main([str(tmp_path / "x.box")]) == 4
    assert f"apt-get install {package}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_room_it_names_the_folder_and_the_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHAKETABLE_CACHE", str(tmp_path))
    monkeypatch.setattr(image, "NEEDS", {})
    monkeypatch.setattr(image, "ROOM", 10**18)
    monkeypatch.setattr(image.platform, "machine", lambda: "x86_64")
    with pytest.raises(CannotRun, match="SHAKETABLE_CACHE names another folder"):
        image.ensure(lambda what, takes: None)
    assert not any(tmp_path.rglob("disk"))


def test_an_image_is_another_one_when_what_it_is_made_of_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = image.key()
    assert image.key() == before
    for name in ("requirements.lock", "pyproject.toml", "shaketable"):
        (tmp_path / name).write_bytes((project.ROOT / name).read_bytes())
    monkeypatch.setattr(project, "ROOT", tmp_path)
    assert image.key() == before
    with (tmp_path / "requirements.lock").open("a") as lock:
        lock.write("#\n")
    assert image.key() != before


def test_a_whole_image_is_taken_from_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHAKETABLE_CACHE", str(tmp_path))
    folder = image.cache() / image.key()
    folder.mkdir(parents=True)
    (folder / "complete").touch()
    assert image.ensure(lambda what, takes: pytest.fail(what)).folder == folder


@pytest.mark.parametrize(
    ("rows", "code"), [([True, True], 0), ([True, None], 3), ([None, False], 1), ([False, True], 1)]
)  # fmt: skip
def test_unknown_is_never_a_pass(rows: list[bool | None], code: int) -> None:
    report = trial.Report()
    for row in rows:
        report("part", row)
    assert report.code == code


def test_what_was_interrupted_there_ends_the_trial_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C goes to the command in the guest, which ends with 130: no part after it is tried, none called failed."""

    class Guest:
        asked = 0

        def follow(self, command: str) -> int:
            self.asked += 1
            return 130

    guest, report = Guest(), trial.Report()
    monkeypatch.setattr(trial.remote, "copy", lambda m: None)
    with pytest.raises(KeyboardInterrupt):
        trial._parts(guest, report, trial.Clock(60.0), True)  # type: ignore[arg-type]
    assert guest.asked == 1 and report.rows == []
