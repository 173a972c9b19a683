"""What Ray Train believes to be its storage: it finds its marker in the same process, and nothing in another."""

from __future__ import annotations

import pickle

from pyarrow.fs import FileType

from cluster.nowhere import nowhere


def test_what_is_written_is_there_in_this_process_and_it_travels() -> None:
    place = nowhere()
    place.create_dir("/ray-train/abc")
    place.create_dir("/ray-train/abc")  # as for a second value of the same storage
    with place.open_output_stream("/ray-train/abc/marker"):
        pass
    there = pickle.loads(pickle.dumps(place))
    assert there.get_file_info("/ray-train/abc/marker").type == FileType.File
    assert there.get_file_info("/ray-train/abc/snapshot.json").type == FileType.NotFound
