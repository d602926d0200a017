import hashlib
import re

from tests.corpus import OddMessage, odd_messages

HUGE_DIGEST = "93a7dfd45aa167c0fabdca38151804d024aef6e99a124a07c3b058adae9837bd"


def by_name() -> dict[str, OddMessage]:
    return {odd.name: odd for odd in odd_messages()}


def test_each_has_a_name_of_its_own_and_the_size_it_tells() -> None:
    gallery = odd_messages()
    assert len({odd.name for odd in gallery}) == len(gallery)
    for odd in gallery:
        if odd.name != "huge":
            assert len(odd.content()) == odd.size, odd.name


def test_no_two_have_the_same_content() -> None:
    small = [odd.content() for odd in odd_messages() if odd.name != "huge"]
    assert len(set(small)) == len(small)


def test_each_shows_what_its_name_says() -> None:
    content = {name: odd.content() for name, odd in by_name().items() if name != "huge"}
    assert content["empty"] == b""
    assert b"\r" not in content["bare-lf"]
    assert re.search(rb"[^\r]\n", content["crlf"]) is None
    assert re.search(rb"\r[^\n]", content["lone-cr"]) is not None
    assert not content["no-final-newline"].endswith(b"\n")
    assert b"\0" in content["nul-bytes"]
    assert max(content["eight-bit-headers"].partition(b"\n\n")[0]) > 127
    assert max(map(len, content["long-line"].split(b"\n"))) == 100 * 1024
    assert content["no-headers"].startswith(b"\n")
    assert b"\n\n" not in content["headers-only"]


def test_the_huge_one_is_made_in_small_pieces_and_the_same_each_time() -> None:
    huge = by_name()["huge"]
    beginnings = [next(iter(huge.chunks())) for _ in range(2)]
    assert beginnings[0] == beginnings[1]
    size, whole = 0, hashlib.sha256()
    for chunk in huge.chunks():
        assert 0 < len(chunk) <= 1024 * 1024
        size += len(chunk)
        whole.update(chunk)
    assert size == huge.size == 200_000_000
    assert whole.hexdigest() == HUGE_DIGEST
