"""What the command's tests share: running weft in a store of its own, small data, and broken copies
of the default model, made by changing bytes of the file in place."""
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
MODEL = os.path.join(ROOT, "models", "weft-42m.gguf")
WEFT = os.environ.get("WEFT_PROGRAM", os.path.join(ROOT, "build", "weft"))
SMALL = ["--context", "32", "--batch", "32", "--accumulate", "1", "--rank", "2"]


class GgufMap:
    """Where things lie in a GGUF file: values of keys, dimensions and data of tensors."""

    SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

    def __init__(self, data):
        self.data, self.at, self.keys, self.tensors = data, 8, {}, {}
        tensor_count, key_count = self.take("<QQ")
        for _ in range(key_count):
            name = self.text()
            kind = self.take("<I")[0]
            self.keys[name] = self.at
            self.skip(kind)
        for _ in range(tensor_count):
            name = self.text()
            dim_count = self.take("<I")[0]
            place = {"dims": self.at}
            self.at += 8 * dim_count + 4
            place["data"] = self.take("<Q")[0]
            self.tensors[name] = place
        self.data_begin = (self.at + 31) // 32 * 32

    def take(self, form):
        values = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return values

    def text(self):
        size = self.take("<Q")[0]
        self.at += size
        return self.data[self.at - size:self.at].decode()

    def skip(self, kind):
        if kind == 8:
            self.text()
        elif kind == 9:
            element, count = self.take("<IQ")
            for _ in range(count):
                self.skip(element)
        else:
            self.at += self.SIZES[kind]


class WeftCase(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="weft-cli-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.env = dict(os.environ, WEFT_HOME=self.path("store"), WEFT_MODEL=MODEL,
                        LC_ALL="C.UTF-8")
        # The processor computes, whatever the machine has: files are compared byte by byte.
        self.env.setdefault("VK_DRIVER_FILES", "/none")
        # What fontconfig keeps until the end is no leak of ours.
        self.env.setdefault("LSAN_OPTIONS", "print_suppressions=0:suppressions="
                            + os.path.join(ROOT, "tests", "cli", "leaks.txt"))

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def file(self, name, content):
        with open(self.path(name), "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        return self.path(name)

    def records(self, count=12):
        """A JSONL file of short conversations."""
        rows = [{"messages": [{"role": "user", "content": f"Say {i}"},
                              {"role": "assistant", "content": f"Ahoy, number {i} it is!"}]}
                for i in range(count)]
        return self.file("records.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def weft(self, *args, code=0, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        if "input" in options:
            del options["stdin"]
        done = subprocess.run([WEFT, *args], capture_output=True, env=self.env, cwd=self.dir,
                              timeout=600, **options)
        out, err = done.stdout.decode(), done.stderr.decode()
        self.assertEqual(done.returncode, code, f"weft {' '.join(args)}\n{out}\n{err}")
        if code:
            self.assertNotIn("Sanitizer", err)
        return out, err

    def fails(self, *args, code=1, says=(), **options):
        """The command ends with code and one message on stderr that holds every text of says."""
        out, err = self.weft(*args, code=code, **options)
        self.assertTrue(err.startswith("weft: ") or "\nweft: " in err, err)
        for text in (says,) if isinstance(says, str) else says:
            self.assertIn(text, err)
        return out, err

    def json(self, *args, **options):
        return json.loads(self.weft(*args, **options)[0])

    def learn(self, *args, code=0, **options):
        return self.weft("learn", *args, *SMALL, "-q", code=code, **options)

    def assert_same(self, one, other):
        """Two files with the same bytes."""
        with open(one, "rb") as a, open(other, "rb") as b:
            self.assertEqual(a.read(), b.read(), f"{one} and {other} differ")

    def model_with(self, name, change):
        """A copy of the default model that change(bytes, map) has altered."""
        with open(MODEL, "rb") as f:
            data = bytearray(f.read())
        data = change(data, GgufMap(data)) or data
        return self.file(name, bytes(data))


def main():
    if len(sys.argv) > 1:
        global WEFT
        WEFT = os.path.abspath(sys.argv.pop(1))
    unittest.main()
