"""Text words: the bytes of many texts, eight at a time, as the hashes of texts take them up."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def words_of(texts: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The eight bytes from each place on of all texts `uint64`, where each text starts there, and its length."""
    texts = pa.concat_arrays([texts])
    _, offsets_buffer, data_buffer = texts.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    data = np.zeros(0, np.uint8) if data_buffer is None else np.frombuffer(data_buffer, np.uint8)
    padded = np.concatenate([data[: offsets[-1]] if len(offsets) else data, np.zeros(8, np.uint8)])
    words = np.ndarray((len(padded) - 7,), dtype="<u8", buffer=padded, strides=(1,))
    return words, offsets[:-1], np.diff(offsets)
