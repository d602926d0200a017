from pathlib import Path

import pytest

from tests.corpus import Shape, odd_messages, write_maildirs
from tests.corpus.mailbox_writer import Writer, snapshot_of
from tests.corpus.maildirs import account_name

VERBS = {"delivered", "marked", "moved", "deleted", "created", "renamed"}


def mail_files(root: Path) -> list[Path]:
    return [path for part in ("new", "cur") for path in root.rglob(f"{part}/*")]


def folders_on_disk(root: Path) -> list[str]:
    return sorted(path.name[1:] for path in root.glob(".*"))


@pytest.mark.parametrize("seed", range(5))
def test_the_model_is_what_the_tree_holds_after_every_step(tmp_path: Path, seed: int) -> None:
    writer = Writer(tmp_path, seed)
    for _ in range(150):
        said = writer.step()
        assert writer.snapshot() == snapshot_of(tmp_path), said
        assert sorted(writer.folders()) == folders_on_disk(tmp_path), said


def test_a_seed_gives_the_same_changes(tmp_path: Path) -> None:
    writers = [Writer(tmp_path / name, seed=3) for name in ("one", "other")]
    said = [[writer.step() for _ in range(300)] for writer in writers]
    assert said[0] == said[1]
    assert snapshot_of(tmp_path / "one") == snapshot_of(tmp_path / "other")
    assert {words.split()[0] for words in said[0]} == VERBS
    assert {words.split()[1] for words in said[0]} >= {"folder"}


def test_every_mail_in_the_tree_is_counted(tmp_path: Path) -> None:
    writer = Writer(tmp_path, seed=2)
    for _ in range(200):
        writer.step()
    assert len(writer.snapshot()) == len(mail_files(tmp_path)) > 0
    assert list(tmp_path.rglob("tmp/*")) == []


def test_a_second_writer_takes_over_what_the_first_left(tmp_path: Path) -> None:
    first = Writer(tmp_path, seed=4)
    for _ in range(60):
        first.step()
    second = Writer(tmp_path, seed=4)
    assert second.snapshot() == first.snapshot()
    for _ in range(60):
        second.step()
    assert second.snapshot() == snapshot_of(tmp_path)
    assert len(second.snapshot()) == len(mail_files(tmp_path))


def test_it_works_on_a_corpus_with_odd_mails(tmp_path: Path) -> None:
    write_maildirs(tmp_path, Shape(accounts=1, mails=30, copies=0, mean_bytes=20_000))
    root = tmp_path / account_name(0)
    for odd in odd_messages():
        if odd.name != "huge":
            (root / "cur" / f"{odd.name}:2,S").write_bytes(odd.content())
    digests = {digest for _, _, digest in snapshot_of(root)}
    writer = Writer(root, seed=5)
    for _ in range(30):
        writer.mark()
        writer.move()
    assert writer.snapshot() == snapshot_of(root)
    assert {digest for _, _, digest in snapshot_of(root)} == digests


def test_a_folder_takes_those_below_it_along(tmp_path: Path) -> None:
    writer = Writer(tmp_path, seed=6)
    while not any("." in folder for folder in writer.folders()):
        writer.create_folder()
    depth = sorted(folder.count(".") for folder in writer.folders())
    before = len(writer.folders())
    writer.rename_folder()
    assert len(writer.folders()) == before
    assert max(folder.count(".") for folder in writer.folders()) <= depth[-1]
    assert sorted(writer.folders()) == folders_on_disk(tmp_path)


def test_a_verb_with_nothing_to_work_on_says_so(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for verb in (writer.mark, writer.move, writer.delete, writer.rename_folder):
        with pytest.raises(IndexError):
            verb()
