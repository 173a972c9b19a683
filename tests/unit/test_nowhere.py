"""What Ray Train believes to be its storage: it finds its marker in the same process, and nothing in another."""

from __future__ import annotations

import pickle
import subprocess
import sys

from pyarrow.fs import FileType

from cluster.nowhere import nowhere


def test_what_is_written_is_there_in_this_process_and_it_travels() -> None:
    place = nowhere()
    place.create_dir("/ray-train/abc")
    place.create_dir("/ray-train/abc")  # as for a second value of the same storage
    with place.open_output_stream("/ray-train/abc/marker"):
        pass
    again = pickle.loads(pickle.dumps(place))
    assert again.get_file_info("/ray-train/abc/marker").type == FileType.File
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).get_file_info('/ray-train/abc/marker').type.name)"
    told = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(place), capture_output=True, check=True)
    assert told.stdout.split() == [b"NotFound"]
