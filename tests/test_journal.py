"""Journals: whole records or none, and a trace at any time."""

import resource

import numpy as np
import pytest
from cases import laws
from hypothesis import given
from hypothesis import strategies as st

from asgd_lib import Trace, journal
from asgd_lib.journal import ARRIVED, BACK, BEGUN, LOST, QUEUED, Event, Journal

EVENTS = [
    Event(BEGUN, 0, 0, 0, 0.0), Event(BEGUN, 1, 1, 0, 0.0), Event(ARRIVED, 1, 1, 0, 0.0, 0.5), Event(BEGUN, 2, 1, 1, 0.5),
    Event(QUEUED, 3, 1, 1), Event(LOST, 0, 0, 0, 0.0, 0.75), Event(BACK, 0, 0, 0, 0.0, 1.0), Event(BEGUN, 4, 0, 1, 1.0),
    Event(ARRIVED, 2, 1, 1, 0.5, 1.25), Event(BEGUN, 3, 1, 1, 1.25),
]  # fmt: skip
META = {"n": 2, "method": "asgd"}


def written(path, events=EVENTS, meta=META):
    book = Journal(path, meta)
    for event in events:
        book.write(event)
    book.close()
    return path


def test_a_journal_is_read_as_a_trace(tmp_path):
    trace = Trace.load(written(tmp_path / "journal"))
    assert trace.n == 2 and dict(trace.meta) == {"method": "asgd"}
    assert trace.frame().values.tolist() == [[1, 1, 0, 0.0, 0.5, 0], [2, 1, 1, 0.5, 1.25, 0]]
    assert trace.lost.tolist() == [(0, 0, 0, 0.0, 0.75), (3, 1, 1, 1.25, np.inf), (4, 0, 1, 1.0, np.inf)]
    assert len(Trace.load(written(tmp_path / "empty", []))) == 0


def test_events_come_back_as_they_were(tmp_path):
    assert repr(list(journal.events(written(tmp_path / "journal")))) == repr(EVENTS)


@laws
@given(cut=st.integers(1, 400))
def test_a_torn_end_is_left_out_and_written_over(tmp_path_factory, cut):
    path = written(tmp_path_factory.mktemp("torn") / "journal")
    data = path.read_bytes()
    path.write_bytes(data[:-cut])
    whole = len(EVENTS) - -(-cut // journal._SIZE)
    assert repr(list(journal.events(path))) == repr(EVENTS[:whole])
    written(path, EVENTS[whole:])  # goes on after the last whole record
    assert path.read_bytes() == data


@laws
@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_is_noticed_except_where_the_end_may_be_torn(tmp_path_factory, place, bit):
    path = written(tmp_path_factory.mktemp("flip") / "journal")
    data = bytearray(path.read_bytes())
    first = data.index(b"\n", len(journal.MAGIC)) + 1
    place = first + place % (len(data) - first)
    data[place] ^= 1 << bit
    path.write_bytes(data)
    if place < len(data) - journal._SIZE:
        with pytest.raises(ValueError, match="is damaged in the middle, at byte"):
            list(journal.events(path))
    else:
        assert len(list(journal.events(path))) == len(EVENTS) - 1


def test_the_first_line_has_a_checksum(tmp_path):
    path = written(tmp_path / "journal", meta={"n": 2, "method": "asgd"})
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"n": 2', b'"n": 3'))  # one bit, and the workers were others
    with pytest.raises(ValueError, match="is damaged in its first line; restore a copy."):
        Trace.load(path)
    path.write_bytes(journal.MAGIC + b'{"n": 2}\n' + whole[whole.index(b"\n", len(journal.MAGIC)) + 1 :])  # as older versions wrote it
    assert len(Trace.load(path)) == 2
    path.write_bytes(journal.MAGIC + b"[" * 100_000)
    with pytest.raises(ValueError, match="is no journal of a run"):
        Trace.load(path)


def test_another_run_does_not_go_on_in_it(tmp_path):
    path = written(tmp_path / "journal")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="records a run with method = 'asgd'; this one has 'dude'. Go on with the same, or choose another"):
        Journal(path, META | {"method": "dude"})
    with pytest.raises(ValueError, match="records a run with wings = None; this one has '2'"):
        Journal(path, META | {"wings": "2"})
    assert path.read_bytes() == before


def test_one_run_at_a_time(tmp_path):
    first = Journal(tmp_path / "journal", META)
    with pytest.raises(ValueError, match="is being written by another run; wait for it, or choose another folder"):
        Journal(tmp_path / "journal", META)
    first.close()
    Journal(tmp_path / "journal", META).close()


@pytest.mark.parametrize("data", [b"", *(journal.MAGIC + rest for rest in (b"", b"{}\n", b"[1]\n", b'{"n": 2}'))])
def test_other_files_are_no_journals(tmp_path, data):
    path = tmp_path / "journal"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="is no journal of a run"):
        list(journal.events(path))
    assert journal.is_journal(path) == data.startswith(journal.MAGIC)
    with pytest.raises(ValueError, match="no journal of a run|is not a whole trace file"):
        Trace.load(path)


def test_a_full_disk_leaves_whole_records_and_takes_the_next_ones(tmp_path):
    path, (soft, hard) = tmp_path / "journal", resource.getrlimit(resource.RLIMIT_FSIZE)
    book = Journal(path, META)
    room = path.stat().st_size + 2 * journal._SIZE + journal._SIZE // 2
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        for event in EVENTS[:2]:
            book.write(event)
        for _ in range(2):  # half of the third fits, and must not stay
            with pytest.raises(OSError, match=r"journal could not be written \(No space.*\)\. Free some space"):
                book.write(EVENTS[2])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    for event in EVENTS[2:]:
        book.write(event)
    book.close()
    assert repr(list(journal.events(path))) == repr(EVENTS)
