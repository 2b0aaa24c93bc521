"""The folder that holds what must outlive the process."""

import os
from types import SimpleNamespace

import pytest

from sbc.core.errors import OperatorError
from sbc.runtime.data_dir import make_data_dir, node_label


def test_an_absent_folder_is_made_for_our_eyes_only(tmp_path):
    path = make_data_dir(tmp_path / "a" / "b")
    assert path.stat().st_mode & 0o777 == 0o700


def test_an_existing_folder_keeps_the_mode_that_the_operator_gave_it(tmp_path):
    tmp_path.chmod(0o750)
    make_data_dir(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o750


def test_a_file_in_its_place_is_said(tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(OperatorError, match="data: is not a folder; expected a folder, or nothing yet"):
        make_data_dir(tmp_path / "data")


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match="file/data: cannot be made: not a directory; make it, owned by the user"):
        make_data_dir(tmp_path / "file" / "data")


def test_a_folder_that_may_not_be_written_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(OperatorError, match="no permission to write; expected a folder that user"):
        make_data_dir(tmp_path)


def test_a_folder_that_is_mounted_read_only_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
    with pytest.raises(OperatorError, match="mounted read-only"):
        make_data_dir(tmp_path)


def test_a_node_is_told_from_another_of_its_name_by_where_it_keeps_its_data(tmp_path):
    one, other = (node_label("sbc", tmp_path / name) for name in ("one", "other"))
    assert one != other
    assert one == node_label("sbc", tmp_path / "x" / ".." / "one")
    assert one.startswith("sbc-")
