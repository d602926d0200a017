"""The id map: appended under a lock, read by everyone, whole after a crash."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from streambackup.errors import TargetError
from streambackup.restore.id_map import IdMap, IdMapLine, id_map_path


def open_map(directory: Path, account: str = "anna", into: str = "anna") -> IdMap:
    return IdMap(id_map_path(directory, "5f1e"), account=account, into=into)


def line(key: str, account: str = "anna", into: str = "anna") -> IdMapLine:
    return IdMapLine(
        account=account,
        item="m",
        transaction="t:00000001:1",
        into=into,
        name=f"name {key}",
        key=key,
    )


def add(id_map: IdMap, *keys: str) -> None:
    with id_map.locked():
        id_map.append([line(key) for key in keys])


def known(id_map: IdMap, *keys: str) -> list[str | None]:
    with id_map.locked():
        return [id_map.name_of(key) for key in keys]


def test_what_one_run_appended_another_knows(tmp_path: Path) -> None:
    first, second = open_map(tmp_path), open_map(tmp_path)
    assert known(second, "a") == [None]
    add(first, "a")
    assert known(second, "a", "b") == ["name a", None]
    add(second, "b")
    assert known(first, "a", "b") == ["name a", "name b"]


def test_it_is_one_json_line_for_each_item(tmp_path: Path) -> None:
    add(open_map(tmp_path), "a", "b")
    written = (tmp_path / "id_mapper-5f1e.jsonl").read_bytes().splitlines()
    assert [msgspec.json.decode(text, type=IdMapLine) for text in written] == [line("a"), line("b")]


def test_other_accounts_and_destinations_are_theirs(tmp_path: Path) -> None:
    other = open_map(tmp_path, account="bert")
    with other.locked():
        other.append([line("a", account="bert")])
    assert known(open_map(tmp_path), "a") == [None]
    assert known(open_map(tmp_path, account="bert", into="carl"), "a") == [None]
    assert known(open_map(tmp_path, account="bert"), "a") == ["name a"]


def test_the_last_name_counts(tmp_path: Path) -> None:
    id_map = open_map(tmp_path)
    add(id_map, "a")
    with id_map.locked():
        id_map.append([msgspec.structs.replace(line("a"), name="new")])
    assert known(open_map(tmp_path), "a") == ["new"]


@pytest.mark.parametrize("cut", range(2, 40, 3))
def test_a_line_cut_short_names_nothing_and_spoils_nothing(tmp_path: Path, cut: int) -> None:
    add(open_map(tmp_path), "a", "b")
    path = id_map_path(tmp_path, "5f1e")
    os.truncate(path, path.stat().st_size - cut)
    assert known(open_map(tmp_path), "a", "b") == ["name a", None]
    id_map = open_map(tmp_path)
    add(id_map, "c")
    add(id_map, "d")
    assert known(id_map, "a", "b", "c", "d") == ["name a", None, "name c", "name d"]
    assert known(open_map(tmp_path), "a", "b", "c", "d") == ["name a", None, "name c", "name d"]


def test_a_line_that_is_none_is_passed_over(tmp_path: Path) -> None:
    path = id_map_path(tmp_path, "5f1e")
    path.write_bytes(b'\n{}\n[1]\n\xff\n{"account":"\xff"}\n' + b"[" * 9_999 + b"\n")
    add(open_map(tmp_path), "a")
    assert known(open_map(tmp_path), "a") == ["name a"]


def test_it_makes_its_directory_and_is_private(tmp_path: Path) -> None:
    add(open_map(tmp_path / "new"), "a")
    assert id_map_path(tmp_path / "new", "5f1e").stat().st_mode & 0o777 == 0o600


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TargetError, match="id map"), open_map(tmp_path / "file").locked():
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_it_belongs_to_whom_the_place_belongs(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12346)
    add(open_map(tmp_path), "a")
    assert id_map_path(tmp_path, "5f1e").stat().st_uid == 12345
