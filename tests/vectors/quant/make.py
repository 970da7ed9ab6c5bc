#!/usr/bin/env python3
"""Vectors for the block formats: blocks with the weights that GGML expands them to, and weights with the blocks that GGML makes of them.

make.py OUTDIR     needs numpy, gguf 0.19 and llama-cpp-python 0.3.36 from PyPI

FORMAT.bin: u32 number of blocks N, N blocks, N * LEN f32 (their expansion, by the numpy reference of `gguf`; of Q8_K by its
definition), N * LEN f32 (other weights), N blocks (these weights as `ggml_quantize_chunk` quantizes them). Little-endian.
"""
import ctypes, glob, os, sys
import gguf, llama_cpp, numpy as np

lib = os.path.join(os.path.dirname(llama_cpp.__file__), "lib")
ggml = ctypes.CDLL(glob.glob(os.path.join(lib, "libggml-base.so"))[0])
ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
ggml.quantize_row_q8_K_ref.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
ggml.dequantize_row_q8_K.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
halves = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "Q8_K": [], "F32": [], "F16": [], "BF16": []}
rng, edges = np.random.default_rng(20261121), np.random.default_rng(1)
out = sys.argv[1]
sizes = []
for name in halves:
    t = gguf.GGMLQuantizationType[name]
    length, size = gguf.GGML_QUANT_SIZES[t]
    sizes.append(f"{name} {t.value} {length} {size}")
    n = {1: 512, 32: 24, 256: 12}[length]
    blocks = rng.integers(0, 256, (n, size), dtype=np.uint8)
    blocks[0], blocks[1], blocks[2] = 0, 255, 128
    for i in range(n):
        for at in halves[name]:  # finite, of both signs; a zero, a subnormal, the largest
            h = {3: 0, 4: 0x8001, 5: 0x7BFF}.get(i, int(rng.integers(0, 0x3C00)) | int(rng.integers(0, 2)) << 15)
            blocks[i, at:at + 2] = np.frombuffer(np.uint16(h).tobytes(), np.uint8)
        if name == "Q8_K": blocks[i, :4] = np.frombuffer(np.float32(rng.standard_normal() * 1e-3).tobytes(), np.uint8)
    if name == "Q8_K":
        y = np.empty((n, length), np.float32)
        ggml.dequantize_row_q8_K(blocks.ctypes.data, y.ctypes.data, n * length)
    else:
        y = gguf.quants.dequantize(blocks, t).astype(np.float32).reshape(n, length)
    x = (rng.standard_normal((n, length)) * np.exp(rng.uniform(-6, 2, (n, 1)))).astype(np.float32)
    x[0], x[1], x[2, 1:], x[3] = 0, 0.25, 0, np.abs(x[3])
    q = np.zeros((n, size), np.uint8)
    if length == 1:  # over the whole range of a half, its subnormals and what overflows it; ties of either format
        x[4:128, 0] = (edges.choice([-1, 1], 124) * 2.0 ** edges.uniform(-27, 17, 124)).astype(np.float32)
        x[128:256, 0] = (0x3F80_0000 + 0x1000 * edges.integers(0, 1 << 12, 128)).astype(np.uint32).view(np.float32)
        x[256:384, 0] = (0x3880_0000 - 0x0080_0000 * edges.integers(0, 9, 128) + 0x1000).astype(np.uint32).view(np.float32)
    elif length == 256:  # large minimums beside small scales: levels far outside what GGML's rounding is good for
        at = -10 ** edges.uniform(-6, 5.9, (4, 8, 1)) * (1 + 1e-7 * edges.standard_normal((4, 8, 32)))
        x[4:8] = at.astype(np.float32).reshape(4, 256)
    if name == "Q8_K": ggml.quantize_row_q8_K_ref(x.ctypes.data, q.ctypes.data, n * length)
    else: ggml.ggml_quantize_chunk(t.value, x.ctypes.data, q.ctypes.data, 0, n, length, None)
    with open(os.path.join(out, name + ".bin"), "wb") as f:
        f.write(np.uint32(n).tobytes() + blocks.tobytes() + y.astype("<f4").tobytes() + x.astype("<f4").tobytes() + q.tobytes())
open(os.path.join(out, "sizes.txt"), "w").write("\n".join(sizes) + "\n")
