from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from cluster.scratch import scratch_folder, sweep

_DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
_OWNER = """
import sys, time
from pathlib import Path
from cluster.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


def test_a_folder_goes_with_its_block_and_takes_its_proxies_along(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        proxy = _proxy_of(folder)
        other = _proxy_of(tmp_path)
        assert folder.is_dir()
    assert not folder.exists()
    assert proxy.wait(timeout=10) == -signal.SIGKILL
    assert other.poll() is None
    other.kill()
    other.wait()


def test_a_sweep_takes_what_a_killed_session_left_and_nothing_of_a_living_one(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", _OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    left = Path(owner.stdout.readline().strip())
    proxy = _proxy_of(left)
    with scratch_folder(tmp_path) as mine:
        sweep(tmp_path, young_s=0)
        assert left.is_dir()
        owner.kill()
        owner.wait()
        sweep(tmp_path)
        assert left.is_dir(), "a young folder may belong to a session that is about to lock it"
        os.utime(left / "held", (0, 0))
        sweep(tmp_path)
        assert not left.exists()
        assert mine.is_dir()
    assert proxy.wait(timeout=10) == -signal.SIGKILL


def _proxy_of(folder: Path) -> subprocess.Popen[str]:
    """A process that is started as HAProxy is, and as deaf to SIGTERM as one that still starts."""
    command = [sys.executable, "-c", _DEAF, "-f", f"{folder}/node/haproxy.cfg"]
    proxy = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert proxy.stdout is not None
    proxy.stdout.readline()
    return proxy
