"""The running proxy's view of its certificate."""

import errno
import os
import ssl
import time
from pathlib import Path

import pytest

from proxy.config.certificate import CertificateWatch
from proxy.core.errors import Invalid
from tests.certificates import DAY, authority, write_pair

HOST = "8271dd.p.getportal.org"


@pytest.fixture
def watch(tmp_path: Path) -> CertificateWatch:
    return CertificateWatch(*write_pair(tmp_path, authority().issue("old.example")))


def now(watch: CertificateWatch) -> float:
    return watch.current.begins + DAY


def look(watch: CertificateWatch) -> list[str]:
    """Look at the files; return the problems there are then."""
    watch.follow(now(watch))
    return [problem.what for problem in watch.problems_at(now(watch))]


def test_a_missing_file_is_a_problem_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        CertificateWatch(tmp_path / "a", tmp_path / "b")


def test_a_new_pair_is_taken(watch: CertificateWatch, tmp_path: Path) -> None:
    context = watch.context
    assert look(watch) == []
    assert watch.context is context
    write_pair(tmp_path, authority().issue("new.example"))
    assert look(watch) == []
    assert watch.current.names == {"new.example"}
    assert watch.context is not context


def test_a_half_replaced_pair_keeps_the_last_good_one_without_a_word(
    watch: CertificateWatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, key = authority().issue("new.example")
    (tmp_path / "fullchain.pem").write_bytes(certificate)
    assert look(watch) == []
    assert watch.current.names == {"old.example"}
    (tmp_path / "privkey.pem").write_bytes(key)
    assert look(watch) == []
    assert watch.current.names == {"new.example"}
    assert "last good" not in caplog.text


def test_one_that_stays_broken_is_told_once_and_the_last_good_one_kept(
    watch: CertificateWatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = (tmp_path / "privkey.pem").read_bytes()
    (tmp_path / "privkey.pem").write_text("broken")
    look(watch)
    for _ in range(3):
        assert look(watch) == ["holds no private key in PEM"]
    assert watch.current.names == {"old.example"}
    assert caplog.text.count("the last good certificate stays in use") == 1
    (tmp_path / "privkey.pem").write_bytes(good)
    assert look(watch) == []


def test_a_key_that_others_may_read_from_now_on_is_told(
    watch: CertificateWatch, tmp_path: Path
) -> None:
    (tmp_path / "privkey.pem").chmod(0o644)
    look(watch)
    (problem,) = look(watch)
    assert "others can read" in problem
    (tmp_path / "privkey.pem").chmod(0o600)
    assert look(watch) == []


def test_a_link_that_leads_elsewhere_is_followed(tmp_path: Path) -> None:
    links = tmp_path / "fullchain.pem", tmp_path / "privkey.pem"
    old = write_pair(tmp_path / "1", authority().issue("old.example"))
    new = write_pair(tmp_path / "2", authority().issue("new.example"))
    for link, path in zip(links, old, strict=True):
        link.symlink_to(path)
    watch = CertificateWatch(*links)
    for link, path in zip(links, new, strict=True):
        link.unlink()
        look(watch)  # half of it, and for a moment nothing
        link.symlink_to(path)
    assert look(watch) == []
    assert watch.current.names == {"new.example"}


def test_its_end_is_told_before_and_after(
    watch: CertificateWatch, caplog: pytest.LogCaptureFixture
) -> None:
    ends = watch.current.ends
    for moment in (ends - 15 * DAY, ends - DAY, ends - DAY + 1, ends, ends + DAY):
        watch.follow(moment)
    assert caplog.text.count("wasn't renewed yet") == 1
    assert caplog.text.count("has expired") == 1
    assert watch.problems_at(ends - 1) == ()
    (problem,) = watch.problems_at(ends)
    assert "has expired" in problem.what


NAMES = HOST, f"*.{HOST}"


def replaced(tmp_path: Path, used: dict[str, float], names: tuple[str, ...]) -> CertificateWatch:
    """Return a watch that uses a certificate for ``names``, valid as ``used`` says."""
    return CertificateWatch(*write_pair(tmp_path, authority().issue(*names, **used)), HOST)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("names", "valid", "why"),
    [
        (NAMES, {"ends": -1.0}, "has expired, on"),
        (NAMES, {"begins": float(DAY)}, "isn't valid before"),
        (("other.example",), {}, f"isn't for {HOST} and *.{HOST}"),
        ((HOST,), {}, f"isn't for *.{HOST}"),
        ((f"*.{HOST}",), {}, f"isn't for {HOST}"),
    ],
)
def test_a_worse_pair_does_not_replace_a_good_one(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    names: tuple[str, ...],
    valid: dict[str, float],
    why: str,
) -> None:
    watch = replaced(tmp_path, {}, NAMES)
    before = watch.context
    write_pair(tmp_path, authority().issue(*names, **valid))  # type: ignore[arg-type]
    for _ in range(3):
        watch.follow(time.time())
    assert watch.context is before
    (problem,) = watch.problems_at(time.time())
    assert f"the one in there now {why}" in problem.what
    assert caplog.text.count("the one before stays in use") == 1
    write_pair(tmp_path, authority().issue(*NAMES))
    watch.follow(time.time())
    assert watch.context is not before
    assert watch.problems_at(time.time()) == ()


@pytest.mark.parametrize(
    ("names", "valid"),
    [
        (NAMES, {"ends": -1.0}),
        (NAMES, {"begins": float(DAY)}),
        (("other.example",), {}),
    ],
)
def test_a_bad_pair_makes_room_for_another(
    tmp_path: Path, names: tuple[str, ...], valid: dict[str, float]
) -> None:
    watch = replaced(tmp_path, valid, names)
    assert watch.problems_at(time.time())
    write_pair(tmp_path, authority().issue(HOST))
    watch.follow(time.time())
    assert watch.in_use.names == {HOST}
    assert watch.problems_at(time.time()) == ()


def test_which_one_is_better_is_judged_anew_at_each_look(tmp_path: Path) -> None:
    watch = replaced(tmp_path, {"ends": float(DAY)}, NAMES)
    now, before = time.time(), watch.context
    write_pair(tmp_path, authority().issue(*NAMES, begins=3600.0))
    watch.follow(now)
    assert watch.context is before
    watch.follow(now + 3700)
    assert watch.context is not before
    assert watch.problems_at(now + 3700) == ()


def test_one_for_another_name_takes_over_when_the_good_one_has_expired(tmp_path: Path) -> None:
    watch = replaced(tmp_path, {"ends": float(DAY)}, NAMES)
    now = time.time()
    write_pair(tmp_path, authority().issue("other.example"))
    watch.follow(now)
    assert watch.in_use.names == set(NAMES)
    watch.follow(now + 2 * DAY)
    assert watch.in_use.names == {"other.example"}
    (problem,) = watch.problems_at(now + 2 * DAY)
    assert f"isn't for {HOST}, the Portal's own host" in problem.what


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.EACCES, errno.ENOMEM])
def test_a_pair_that_can_t_be_read_now_is_read_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    watch = replaced(tmp_path, {}, NAMES)
    before = watch.context
    write_pair(tmp_path, authority().issue(*NAMES))

    def fail(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(os, "open", fail)
            watch.follow(time.time())
            watch.follow(time.time())
        assert watch.context is before
        for problem in watch.problems:
            assert problem.what.startswith(f"can't be read: {os.strerror(number)}")
    with monkeypatch.context() as patched:
        patched.setattr(ssl.SSLContext, "load_cert_chain", fail)
        watch.follow(time.time())
        assert watch.context is before
    watch.follow(time.time())
    assert watch.context is not before
    assert watch.problems_at(time.time()) == ()
