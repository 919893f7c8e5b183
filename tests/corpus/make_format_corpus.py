#!/usr/bin/env python3
"""Write the regression inputs of the GGUF and safetensors parsers, valid and broken."""
import json
import pathlib
import struct

HERE = pathlib.Path(__file__).parent


def text(s):
    b = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<Q", len(b)) + b


def key(name, kind, value):
    return text(name) + struct.pack("<I", kind) + value


def array(kind, count, data):
    return struct.pack("<IQ", kind, count) + data


def info(name, dims, kind, offset):
    return text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)


def gguf(keys, infos, data=b"", version=3, counts=None):
    tensors, n_keys = counts or (len(infos), len(keys))
    b = b"GGUF" + struct.pack("<IQQ", version, tensors, n_keys) + b"".join(keys + infos)
    return b + bytes(-len(b) % 32) + data


SCALARS = [
    key("u8", 0, b"\xff"), key("i8", 1, b"\xff"), key("u16", 2, b"\xfe\xff"),
    key("i16", 3, b"\xfe\xff"),
    key("u32", 4, b"\1\0\0\0"), key("i32", 5, b"\xff" * 4), key("f32", 6, struct.pack("<f", 1.5)),
    key("bool", 7, b"\1"), key("string", 8, text("bitnet\n\x1b[0m")), key("u64", 10, b"\xff" * 8),
    key("i64", 11, b"\xff" * 8), key("f64", 12, struct.pack("<d", -2.5)),
]
ARRAYS = [
    key("strings", 9, array(8, 3, text("a") + text("") + text("\u00e4" * 60))),
    key("floats", 9, array(6, 2, bytes(8))), key("bools", 9, array(7, 2, b"\0\1")),
    key("nested", 9, array(9, 2, array(5, 1, bytes(4)) + array(8, 1, text("x")))),
]
ALL_TYPES = [("f32", 1, 0, 4), ("f16", 1, 1, 2), ("q4_0", 32, 2, 18), ("q8_0", 32, 8, 34),
             ("q6_k", 256, 14, 210), ("i8", 1, 24, 1), ("bf16", 1, 30, 2), ("f64", 1, 28, 8),
             ("tq1_0", 256, 34, 54), ("tq2_0", 256, 35, 66), ("i2_s", 128, 36, 64)]


def every_type():
    infos, data = [], b""
    for name, cols, kind, size in ALL_TYPES:
        infos.append(info(name, [cols, 1], kind, len(data)))
        data += bytes(i * 37 % 256 for i in range(size)) + bytes(-size % 32)
    return gguf([key("general.alignment", 4, struct.pack("<I", 32))], infos, data)


GGUF = {
    "scalars": gguf(SCALARS, []),
    "arrays_v2": gguf(ARRAYS, [], version=2),
    "every_type": every_type(),
    "empty": b"",
    "magic_only": b"GGUF",
    "version_1": gguf([], [], version=1),
    "huge_counts": gguf([], [], counts=(1 << 63, 1 << 63)),
    "many_keys_claimed": gguf(SCALARS, [], counts=(0, 60000)),
    "duplicate_key": gguf(SCALARS[:1] * 2, []),
    "duplicate_tensor": gguf([], [info("t", [1], 0, 0), info("t", [1], 0, 32)], bytes(64)),
    "overlap": gguf([], [info("a", [16], 0, 0), info("b", [1], 0, 32)], bytes(64)),
    "outside": gguf([], [info("a", [16], 0, 32)], bytes(64)),
    "overflow_dims": gguf([], [info("a", [1 << 40, 1 << 40], 0, 0)], bytes(64)),
    "unknown_type": gguf([], [info("a", [256], 39, 0)], bytes(256)),
    "bad_bool": gguf([key("b", 7, b"\2")], []),
    "bad_value_type": gguf([key("b", 13, b"")], []),
    "deep_arrays": gguf([key("d", 9, array(9, 1, b"") * 40)], []),
    "huge_string": gguf([key("s", 8, b"\xf8" + b"\xff" * 7)], []),
    "truncated": gguf(SCALARS, [])[:100],
    "bad_alignment": gguf([key("general.alignment", 4, bytes(4))], []),
}


def safetensors(header, data=b"", length=None):
    b = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(b) if length is None else length) + b + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


DTYPES = [("F32", 4), ("F16", 2), ("BF16", 2), ("F64", 8), ("I8", 1), ("U8", 1), ("I32", 4),
          ("I64", 8)]
VALID = {"__metadata__": {"format": "pt"}, "a": entry("F32", [2, 1], 0, 8),
         "b": entry("BF16", [2], 8, 12), "c": entry("U8", [], 12, 13)}
EVERY_TYPE = {d: entry(d, [1], 8 * i, 8 * i + n) for i, (d, n) in enumerate(DTYPES)}

SAFETENSORS = {
    "valid": safetensors(VALID, bytes(range(13))),
    "every_type": safetensors(EVERY_TYPE, bytes(64)),
    "empty_tensor": safetensors({"a": entry("F32", [0, 5], 0, 0)}),
    "no_tensors": safetensors({}),
    "empty": b"",
    "short": b"\1\2\3",
    "huge_header": safetensors(b"{}", length=1 << 62),
    "header_beyond_end": safetensors(b"{}", length=1000),
    "not_json": safetensors(b"{not json}"),
    "array": safetensors(b"[1, 2]"),
    "deep": safetensors(b"[" * 3000),
    "duplicate": safetensors(b'{"a":{},"a":{}}'),
    "unknown_dtype": safetensors({"a": entry("F8_E4M3", [1], 0, 1)}, b"x"),
    "size_mismatch": safetensors({"a": entry("F32", [3], 0, 8)}, bytes(8)),
    "outside": safetensors({"a": entry("F32", [2], 0, 8)}, bytes(7)),
    "backwards": safetensors({"a": entry("F32", [2], 8, 0)}, bytes(8)),
    "overlap": safetensors({"a": entry("F32", [2], 0, 8), "b": entry("F32", [1], 4, 8)}, bytes(8)),
    "overflow": safetensors({"a": entry("F32", [1 << 40, 1 << 40], 0, 8)}, bytes(8)),
    "negative": safetensors({"a": entry("F32", [-1, -2], 0, 8)}, bytes(8)),
    "many_dims": safetensors({"a": entry("F32", [1] * 9, 0, 4)}, bytes(4)),
    "bad_metadata": safetensors({"__metadata__": {"a": 1}}),
    "fields_missing": safetensors({"a": {}}),
    "not_an_object": safetensors({"a": 5}),
}

for folder, files in (("gguf", GGUF), ("safetensors", SAFETENSORS)):
    (HERE / folder).mkdir(exist_ok=True)
    for name, content in files.items():
        (HERE / folder / name).write_bytes(content)
