"""Cut a directory of golden vectors (oracle.json, exact.json and their safetensors) down to what the
project's own tests carry: three prompts, the linear layers of the first and last layer on four tokens, and
the first layer's straight-through gradients.

    python3 cut_oracle.py ORACLE_DIR OUT_DIR

The result is for `oracle_check MODEL OUT_DIR --cut`. Only the standard library is used.
"""
import json, os, struct, sys

PROMPTS, TOKENS = 3, 4


def read(path):
    raw = open(path, "rb").read()
    n = struct.unpack("<Q", raw[:8])[0]
    head = json.loads(raw[8:8 + n])
    return {k: (i["dtype"], i["shape"], raw[8 + n + i["data_offsets"][0]:8 + n + i["data_offsets"][1]])
            for k, i in head.items() if k != "__metadata__"}


def write(path, tensors):
    head, at = {}, 0
    for k, (dtype, shape, data) in tensors.items():
        head[k] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    h = json.dumps(head).encode()
    h += b" " * (-len(h) % 8)
    open(path, "wb").write(struct.pack("<Q", len(h)) + h + b"".join(t[2] for t in tensors.values()))


def first_rows(tensor, rows):
    dtype, shape, data = tensor
    return dtype, [rows] + shape[1:], data[:len(data) // shape[0] * rows]


def main(source, out):
    os.makedirs(out, exist_ok=True)
    plain, exact = (json.load(open(os.path.join(source, n))) for n in ("oracle.json", "exact.json"))
    tensors, values = (read(os.path.join(source, n + ".safetensors")) for n in ("oracle", "exact"))
    last = max(int(k.split(".")[3]) for k in values if k.startswith("trace.model.layers."))
    keep = {}
    for k, t in values.items():
        if k.startswith("smooth.logits.") and int(k.rsplit(".", 1)[1]) < PROMPTS:
            keep[k] = t
        elif k.startswith(("trace.model.layers.0.", f"trace.model.layers.{last}.")) and k[-2:] in (".x", ".y"):
            keep[k] = first_rows(t, TOKENS)
        elif k.startswith(("one.init.", "one.grad")):
            keep[k] = t
    write(os.path.join(out, "exact.safetensors"), keep)
    write(os.path.join(out, "oracle.safetensors"),
          {k: t for k, t in tensors.items() if k.startswith("init.model.layers.0.")})
    for part in (plain["logits"], exact["smooth"]["prompts"], exact["rounded"]["prompts"]):
        del part[PROMPTS:]
    del plain["greedy"][1:], plain["steps"][2:], exact["smooth"]["steps"]
    for name, value in (("oracle.json", plain), ("exact.json", exact)):
        with open(os.path.join(out, name), "w") as f:
            json.dump(value, f, ensure_ascii=True, separators=(",", ":"))


main(*sys.argv[1:3])
