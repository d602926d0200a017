import hashlib
import json
import re
from pathlib import Path
from statistics import median

import pytest

from tests.corpus import BENCH, SMALL, Shape, Statistics, write_maildirs
from tests.corpus.__main__ import main
from tests.corpus.maildirs import Mail, plan_folders, plan_mails

TINY = Shape(accounts=3, mails=40, copies=9)
TINY_DIGEST = "40d570c7323eb4e3facb017eccbd4a4f1abf9ddc79fd877b6a5f6d575941019e"

NAME = re.compile(r"\d+\.M\d{1,6}P\d+Q\d+\.mail\.example\.org,S=(?P<size>\d+)")
IN_CUR = re.compile(NAME.pattern + r":2,(?P<flags>D?F?P?R?S?T?)")


def mail_files(root: Path) -> list[Path]:
    return sorted(
        path for part in ("new", "cur", "tmp") for path in root.rglob(f"{part}/*") if path.is_file()
    )


def tree_digest(root: Path) -> str:
    """Names, modification times and bytes of every file below *root*."""
    whole = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        received_s = 0 if path.name == "maildirfolder" else int(path.stat().st_mtime)
        whole.update(f"{path.relative_to(root)}\0{received_s}\0{path.stat().st_size}\0".encode())
        whole.update(path.read_bytes())
    return whole.hexdigest()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Statistics]:
    root = tmp_path_factory.mktemp("corpus") / "small"
    return root, write_maildirs(root, SMALL, seed=7)


def test_a_seed_gives_the_same_bytes_on_every_machine(tmp_path: Path) -> None:
    write_maildirs(tmp_path, TINY, seed=1)
    assert tree_digest(tmp_path) == TINY_DIGEST


def test_another_seed_gives_other_mails() -> None:
    keys = {mail.key for seed in (1, 2) for mail in plan_mails(TINY, seed)}
    assert len(keys) == 2 * (TINY.mails - TINY.copies)


def test_statistics_are_those_of_the_files(small: tuple[Path, Statistics]) -> None:
    root, statistics = small
    contents = [path.read_bytes() for path in mail_files(root)]
    sizes = [len(content) for content in contents]
    unique = {hashlib.sha256(content).digest(): len(content) for content in contents}
    assert statistics == Statistics(
        accounts=len(list(root.iterdir())),
        folders=len(list(root.rglob("cur"))),
        mails=len(sizes),
        bytes=sum(sizes),
        unique_bytes=sum(unique.values()),
        duplicates=len(sizes) - len(unique),
        median_bytes=int(median(sizes)),
        mean_bytes=sum(sizes) // len(sizes),
    )
    assert (statistics.accounts, statistics.mails, statistics.duplicates) == (4, 200, 60)


def test_copies_lie_in_other_accounts(small: tuple[Path, Statistics]) -> None:
    root, _ = small
    owners: dict[bytes, list[str]] = {}
    for path in mail_files(root):
        digest = hashlib.sha256(path.read_bytes()).digest()
        owners.setdefault(digest, []).append(path.relative_to(root).parts[0])
    assert all(len(names) == len(set(names)) for names in owners.values())


def test_names_are_valid_in_a_maildir_and_tell_the_size(small: tuple[Path, Statistics]) -> None:
    root, _ = small
    parts = set()
    for path in mail_files(root):
        match = (NAME if path.parent.name == "new" else IN_CUR).fullmatch(path.name)
        assert match is not None, path
        assert int(match["size"]) == path.stat().st_size
        parts.add(path.parent.name)
    assert parts == {"new", "cur"}


def test_folders_are_maildirs_for_their_owner_only(small: tuple[Path, Statistics]) -> None:
    root, _ = small
    for cur in root.rglob("cur"):
        folder = cur.parent
        assert sorted(
            path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != "."
        ) == [
            "cur",
            "new",
            "tmp",
        ]
        assert (folder / "maildirfolder").exists() == folder.name.startswith(".")
        assert cur.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in mail_files(root))


def planned_sizes(mails: list[Mail]) -> list[int]:
    return [mail.size for mail in mails for _ in mail.places]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_bench_corpus_has_the_figures_that_rivals_were_measured_with(seed: int) -> None:
    mails = list(plan_mails(BENCH, seed))
    sizes = planned_sizes(mails)
    assert len(sizes) == 20_000
    assert len(sizes) - len(mails) == 6_009
    assert len(plan_folders(BENCH, seed)) == 200
    assert sum(sizes) == pytest.approx(1_409_000_000, rel=0.02)
    assert sum(mail.size for mail in mails) == pytest.approx(958_000_000, rel=0.02)
    assert median(sizes) == pytest.approx(12_000, rel=0.02)
    assert sum(sizes) / len(sizes) == pytest.approx(70_000, rel=0.02)


def test_mails_have_the_size_that_was_planned(small: tuple[Path, Statistics]) -> None:
    _, statistics = small
    planned = sum(planned_sizes(list(plan_mails(SMALL, seed=7))))
    assert statistics.bytes == pytest.approx(planned, rel=0.02)


@pytest.mark.parametrize(
    "shape",
    [
        Shape(accounts=1, mails=5, copies=0, folders=0),
        Shape(accounts=2, mails=10, copies=5),
        Shape(accounts=4, mails=7, copies=5),
        Shape(accounts=2, mails=3, copies=0, median_bytes=2_000, mean_bytes=2_000),
        Shape(accounts=2, mails=0, copies=0),
    ],
)
def test_extreme_shapes_are_written_whole(tmp_path: Path, shape: Shape) -> None:
    statistics = write_maildirs(tmp_path, shape)
    assert (statistics.mails, statistics.duplicates) == (shape.mails, shape.copies)
    assert len(mail_files(tmp_path)) == shape.mails


@pytest.mark.parametrize(
    "wrong",
    [
        {"accounts": 0},
        {"accounts": 1, "mails": 10, "copies": 1},
        {"accounts": 9, "mails": 8, "copies": 7},
        {"folders": 99},
        {"median_bytes": 10, "mean_bytes": 5},
    ],
)
def test_a_shape_that_cannot_be_had_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        Shape(**wrong)


def test_a_directory_in_use_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").touch()
    assert main([str(tmp_path), "--mails", "10", "--accounts", "2"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_command_prints_the_statistics(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "new"), "--mails", "10", "--accounts", "2", "--seed", "3"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["accounts"], printed["mails"], printed["duplicates"]) == (2, 10, 3)
