#!/usr/bin/env python3
"""Writes tests/vectors/safetensors/mixed.safetensors with Python's safetensors (0.8.0 was used).

Needs: pip install safetensors numpy. NumPy has no bfloat16, so tensors go in as raw bytes through
safetensors.serialize.
"""
import pathlib

import numpy as np
import safetensors


def spec(dtype, array):
    return safetensors.TensorSpec(
        dtype=dtype, shape=list(array.shape), data_ptr=array.ctypes.data, data_len=array.nbytes
    )


half = np.array([1.5, -2, 65504, 2**-24, 2**-14, np.inf, -np.inf, 0], dtype=np.float16)
# The upper halves of these binary32 numbers, all of which bfloat16 holds exactly.
brain = np.array([1, -3.140625, 2.0**127, 2**-7], dtype=np.float32).view(np.uint32) >> 16
arrays = {  # kept alive until they are written: a spec holds their address only
    "weight": ("float32", np.arange(6, dtype=np.float32).reshape(2, 3)),
    "scalar": ("float32", np.array(2.5, dtype=np.float32)),
    "nothing": ("float32", np.zeros((0, 4), dtype=np.float32)),
    "half": ("float16", half),
    "brain": ("bfloat16", brain.astype(np.uint16)),
}
tensors = {name: spec(dtype, array) for name, (dtype, array) in arrays.items()}
folder = pathlib.Path(__file__).parent / "safetensors"
folder.mkdir(exist_ok=True)
metadata = {"format": "np", "made_by": "make_safetensors_vectors.py"}
(folder / "mixed.safetensors").write_bytes(safetensors.serialize(tensors, metadata))
