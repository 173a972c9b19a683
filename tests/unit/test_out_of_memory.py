"""What running out of memory looks like, and what does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raymill.out_of_memory import is_out_of_memory


def test_python_numpy_and_torch_say_that_memory_ran_out() -> None:
    with pytest.raises(MemoryError) as numpys:
        np.empty(2**50)
    with pytest.raises(RuntimeError) as torchs:
        torch.empty(2**50)
    assert is_out_of_memory(numpys.value) and is_out_of_memory(torchs.value)
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))


def test_other_errors_are_no_lack_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("Connection closed by peer"))
    assert not is_out_of_memory(OSError(28, "No space left on device"))
