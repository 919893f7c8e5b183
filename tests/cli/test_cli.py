"""The command weft from outside: each command's happy path, and every error's exit code and
message."""
import json
import os
import pty
import resource
import select
import signal
import struct
import subprocess
import termios
import time

import weft_case
from weft_case import MODEL, SMALL, WeftCase


class Usage(WeftCase):
    def test_version_and_help(self):
        self.assertRegex(self.weft("--version")[0], r"^weft \d+\.\d+\.\d+\n$")
        usage = self.weft("help")[0]
        for command in ("chat", "learn", "eval", "audit", "list", "info", "import", "export"):
            self.assertIn(f"  {command} ", usage)
            text = self.weft(command, "--help")[0]
            self.assertTrue(text.startswith(f"usage: weft {command}"), text)
        self.assertIn("--rate R", self.weft("help", "learn")[0])
        self.assertIn("usage: weft COMMAND", self.weft(code=2)[1])

    def test_unknown_words(self):
        self.fails("lern", code=2, says=["no command 'lern'", "did you mean learn?"])
        self.fails("learn", "x", "--rnak", "3", code=2, says=["--rnak", "did you mean --rank?"])
        self.fails("learn", "x", "--zzzzzzzz", code=2, says="there is no option --zzzzzzzz")
        self.fails("list", "extra", code=2, says="'extra' is one argument too many")

    def test_values(self):
        cases = [(["--rate", "nan"], "--rate is 'nan'; it must be a number from 1e-12 to 1"),
                 (["--rate=0"], "--rate is '0'"),
                 (["--rate", "1e400"], "--rate is '1e400'"),
                 (["--rank", "0"], "--rank is '0'; it must be a whole number from 1 to 1024"),
                 (["--rank", "2x"], "--rank is '2x'"),
                 (["--steps", "99999999999999999999"], "--steps is"),
                 (["--memory", "12Q"], "--memory is '12Q'; it must be a size such as 128M"),
                 (["--schedule", "step"], "it must be one of cosine|linear|constant"),
                 (["--json=1"], "--json takes no value"),
                 (["--epochs"], "--epochs needs a value")]
        for options, message in cases:
            self.fails("learn", "x", "--name", "n", *options, code=2, says=message)

    def test_missing_arguments(self):
        self.fails("learn", code=2, says=["PATH is missing", "usage: weft learn"])
        self.fails("learn", "..", code=2, says="--name is missing")
        self.fails("learn", "--resume", code=2, says="--resume needs --name")
        self.fails("eval", code=2, says="PATH is missing")
        self.fails("import", code=2, says="DIR is missing")
        self.fails("export", "x", code=2, says="--out is missing")


class Models(WeftCase):
    def test_info(self):
        text = self.weft("info")[0]
        for part in ("weft-42m", "bitnet", "relu2", "I2_S", "chat template yes"):
            self.assertIn(part, text)
        facts = self.json("info", "--json")
        self.assertEqual(facts["model"]["layers"], 12)
        self.assertEqual(facts["model"]["ternary_weights"], 37748736)
        self.assertEqual(facts["model"]["packing"], "fast")
        tight = self.json("info", "--packing", "tight", "--json")["model"]
        self.assertEqual(tight["packing"], "tight")
        self.assertEqual(tight["ternary_bytes"], 37748736 // 128 * 26)
        self.assertIn("blk.0.attn_q.weight", self.weft("info", MODEL, "--tensors")[0])

    def test_default_model(self):
        del self.env["WEFT_MODEL"]
        os.mkdir(self.path("models"))
        os.symlink(MODEL, self.path("models", "weft-42m.gguf"))
        self.assertEqual(self.json("info", "--json")["path"], "models/weft-42m.gguf")

    def test_missing_and_damaged(self):
        self.fails("chat", "-m", "none.gguf", "-p", "x", says="none.gguf")
        self.fails("chat", "-m", self.file("empty.gguf", ""), "-p", "x", says="empty.gguf")
        self.fails("chat", "-m", self.file("text.gguf", "no model at all\n" * 9), "-p", "x",
                   says="text.gguf")
        self.fails("chat", "-m", self.dir, "-p", "x", says="weft import")
        with open(MODEL, "rb") as f:
            data = f.read()
        for size in (4, 30, 5000, len(data) // 2, len(data) - 1):
            cut = self.file("cut.gguf", data[:size])
            self.fails("chat", "-m", cut, "-p", "x", says="cut.gguf")
            self.fails("info", cut, says="cut.gguf")

    def test_tensors(self):
        def rename(data, places):
            return data.replace(b"blk.3.ffn_down.weight", b"blk.3.ffn_gown.weight")

        def reshape(data, places):
            struct.pack_into("<QQ", data, places.tensors["blk.2.attn_k.weight"]["dims"], 256, 512)

        def put_nan(data, places):
            at = places.data_begin + places.tensors["blk.1.attn_norm.weight"]["data"]
            struct.pack_into("<f", data, at, float("nan"))

        self.fails("chat", "-m", self.model_with("a.gguf", rename), "-p", "x",
                   says=["a.gguf", "blk.3.ffn_down.weight"])
        self.fails("chat", "-m", self.model_with("b.gguf", reshape), "-p", "x",
                   says=["b.gguf", "blk.2.attn_k.weight"])
        broken = self.model_with("c.gguf", put_nan)
        self.fails("learn", self.records(), "--name", "n", "-m", broken,
                   says=["c.gguf", "blk.1.attn_norm.weight"])
        self.assertFalse(os.path.exists(self.path("store", "adapters", "n")))

    def test_other_architecture(self):
        def text(s):
            return struct.pack("<Q", len(s)) + s.encode()

        other = self.file("other.gguf", b"GGUF" + struct.pack("<IQQ", 3, 0, 1) +
                          text("general.architecture") + struct.pack("<I", 8) + text("mamba"))
        self.fails("chat", "-m", other, "-p", "x", says=["other.gguf", "mamba"])
        self.assertIn("weft cannot run it", self.weft("info", other)[0])

    def test_device(self):
        self.fails("chat", "--device", "vulkan", "-p", "x", says="there is no device 'vulkan'")

    def test_import(self):
        self.fails("import", "nowhere", says="nowhere")
        os.mkdir(self.path("hf"))
        self.fails("import", "hf", says="config.json")
        self.fails("import", "hf", "--type", "q9", says="q9")


class Chat(WeftCase):
    def test_one_answer(self):
        first = self.weft("chat", "-p", "What colour is the sky?", "--max-tokens", "12")[0]
        self.assertTrue(first.strip())
        again = self.weft("chat", "-n", "12", input=b"What colour is the sky?\n")[0]
        self.assertEqual(first, again)
        facts = self.json("chat", "-p", "What colour is the sky?", "-n", "12", "--json")
        self.assertEqual(facts["reply"], first.rstrip("\n"))
        self.assertGreater(facts["stats"]["generated_tokens"], 0)

    def test_raw_and_stats(self):
        out, err = self.weft("chat", "--raw", "-p", "Once upon a time", "-n", "5", "--stats")
        self.assertTrue(out.strip())
        self.assertIn("5 generated", err)

    def test_refusals(self):
        self.fails("chat", "-p", "", says="the prompt is empty")
        self.fails("chat", input=b"a\0b", says="NUL")
        self.fails("chat", "-p", "x", "--adapter", "nobody", says=["'nobody'", "weft list"])
        self.fails("chat", "-p", "x", "--adapter", "a/b", says="there is no adapter at a/b")
        self.fails("chat", "-p", "word " * 2000, says="the context holds")
        self.fails("chat", "--top-p", "2", "-p", "x", code=2, says="--top-p is '2'")

    def test_full_standard_output(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([weft_case.WEFT, "chat", "-p", "Hello", "-n", "5"], stdout=full,
                                  stderr=subprocess.PIPE, env=self.env)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"cannot write to the standard output", done.stderr)

    def press(self, terminal, keys):
        """Press keys once line editing listens: it shows its prompt before it takes the terminal out of
        line mode, where Ctrl-D means something else."""
        end = time.monotonic() + 30
        while termios.tcgetattr(terminal)[3] & termios.ICANON:
            self.assertLess(time.monotonic(), end, "line editing never began")
            time.sleep(0.01)
        os.write(terminal, keys)

    def read_until(self, terminal, text):
        """Read what the terminal shows until text stands in it; all of it is kept in self.shown."""
        seen, end = "", time.monotonic() + 60
        while text not in seen and time.monotonic() < end:
            if select.select([terminal], [], [], 1)[0]:
                try:
                    seen += os.read(terminal, 4096).decode(errors="replace")
                except OSError:
                    break
        self.shown += seen
        self.assertIn(text, seen)

    def read_to_end(self, terminal):
        while True:
            try:
                if not os.read(terminal, 4096):
                    return
            except OSError:  # nobody has the other end open
                return

    def test_terminal(self):
        self.shown = ""
        self.learn(self.records(), "--name", "me", "--steps", "1", "--force")
        try:
            pid, terminal = pty.fork()
        except OSError as error:
            self.skipTest(f"no pseudo-terminal to be had here: {error}")
        if pid == 0:
            os.execve(weft_case.WEFT, ["weft", "chat", "-n", "8", "-c", "64"], dict(self.env, TERM="xterm"))
        self.read_until(terminal, "> ")
        for line, answer in (("/help", "forget the conversation"), ("/clear", "forgotten"),
                             ("/adapter nobody", "no adapter 'nobody'"),
                             ("/adapter me:0.5 me", "with me:0.5, me:1"),
                             ("/adapter me nobody", "no adapter 'nobody'"),
                             ("/adapter", "with the plain model"),
                             ("/adapter me", "with me:1"), ("Hello there", "\n> ")):
            self.press(terminal, line.encode() + b"\r")
            self.read_until(terminal, answer)
        for _ in range(3):
            self.press(terminal, b"one two three four five six seven eight nine ten\r")
            self.read_until(terminal, "\n> ")
        self.press(terminal, b"/clear\r")
        self.read_until(terminal, "\nforgotten")
        self.assertEqual(self.shown.count("its oldest turns are forgotten"), 1)
        self.press(terminal, b"\x03")
        self.read_until(terminal, "Ctrl-D leaves")
        self.press(terminal, b"\x04")
        self.read_to_end(terminal)
        status = os.waitpid(pid, 0)[1]
        os.close(terminal)
        self.assertEqual(status, 0)
        history = self.path("store", "history")
        self.assertEqual(os.stat(history).st_mode & 0o777, 0o600)
        with open(history) as f:
            self.assertIn("Hello", f.read())


class Learn(WeftCase):
    def test_happy_path(self):
        data = self.records()
        facts = self.json("learn", data, "--name", "me", "--steps", "3", "--json", *SMALL)
        self.assertEqual(facts["state"], "done")
        self.assertEqual(facts["result"]["steps"], 3)
        self.assertEqual(facts["data"]["documents"], 12)
        self.assertGreater(facts["plan"]["total_bytes"], 0)
        for path in (facts["gguf"], os.path.join(facts["peft"], "adapter_model.safetensors"),
                     os.path.join(facts["peft"], "adapter_config.json")):
            self.assertTrue(os.path.getsize(path))
        self.assertFalse(os.path.exists(self.path("store", "adapters", "me",
                                                  "checkpoint.safetensors")))
        self.assertEqual(self.json("list", "--json")["adapters"][0]["state"], "done")
        self.assertIn("me", self.weft("list")[0])
        for name in ("me", facts["peft"]):
            adapter = self.json("info", name, "--json")["adapter"]
            self.assertEqual((adapter["rank"], adapter["alpha"]), (2, 16))
        self.weft("chat", "--adapter", "me", "--adapter", facts["gguf"] + ":0.5", "-p", "Hi",
                  "-n", "3")
        rows = self.json("eval", data, "--adapter", "me", "--adapter", facts["peft"], "--held-out",
                         "--json", "--context", "32")["results"]
        self.assertEqual(len(rows), 4)
        self.assertAlmostEqual(rows[1]["loss"], facts["result"]["eval_loss_after"], places=4)
        self.assertAlmostEqual(rows[0]["loss"], facts["result"]["eval_loss_before"], places=4)
        self.assertEqual(rows[1]["loss"], rows[2]["loss"])
        self.fails("learn", data, "--name", "me",
                   says=["there is an adapter named 'me'", "--force"])
        self.assertIn("finished already", self.weft("learn", "--name", "me", "--resume")[1])
        self.learn(data, "--name", "me", "--steps", "1", "--force")

    def test_people_read_this(self):
        out, err = self.weft("learn", self.records(), "--name", "me", "--steps", "3", *SMALL)
        for part in ("found ", "plan ", "memory ", "held-out loss", "saved ",
                     "weft chat --adapter me"):
            self.assertIn(part, out)
        self.assertIn("step 3/3", err)
        self.assertNotIn("\033", out + err)

    def test_json_lines(self):
        out = self.weft("learn", self.records(), "--name", "me", "--steps", "2", "--json-lines",
                        *SMALL)[0]
        rows = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([row["step"] for row in rows if row.get("event") == "step"], [1, 2])
        self.assertEqual(rows[-1]["state"], "done")

    def test_dry_run(self):
        facts = self.json("learn", self.records(), "--dry-run", "--json", *SMALL)
        self.assertEqual(facts["state"], "plan")
        self.assertFalse(os.path.exists(self.path("store")))

    def test_export(self):
        self.learn(self.records(), "--name", "me", "--steps", "1")
        gguf, peft = self.path("out.gguf"), self.path("peft")
        self.weft("export", "me", "--out", gguf)
        self.weft("export", gguf, "--format", "peft", "--out", peft)
        self.fails("export", "me", "--out", gguf, says="--force")
        stored = self.path("store", "adapters", "me")
        for a, b in ((gguf, os.path.join(stored, "me.gguf")),
                     (os.path.join(peft, "adapter_model.safetensors"),
                      os.path.join(stored, "peft", "adapter_model.safetensors"))):
            self.assert_same(a, b)

    def test_names_and_options(self):
        data = self.records()
        self.fails("learn", data, "--name", "../x", says="is no adapter name")
        self.fails("learn", data, "--name", "n", "--targets", "q_proj,nose", says="nose")
        self.fails("learn", data, "--name", "n", "--memory", "1M", *SMALL, says="--memory")
        self.fails("learn", data, "--name", "n", "--context", "99999", says="context")
        self.fails("learn", data, "--name", "n", "--as", "fax", says=["fax", "mbox"])
        self.assertFalse(os.path.exists(self.path("store", "adapters")))

    def test_missing_and_empty_data(self):
        self.fails("learn", "nowhere.txt", "--name", "n", says="nowhere.txt")
        self.fails("learn", self.file("empty.txt", ""), "--name", "n", says="empty")
        self.fails("learn", self.file("empty.jsonl", ""), "--name", "n", says="empty")
        os.mkdir(self.path("folder"))
        self.fails("learn", "folder", "--name", "n", says="folder")
        self.fails("learn", self.file("noise.bin", bytes(range(256)) * 40), "--name", "n",
                   says="noise.bin")

    def test_bad_records_are_counted(self):
        question = {"role": "user", "content": "a"}
        good = [{"messages": [question, {"role": "assistant", "content": f"b c {i}"}]}
                for i in range(3)]
        none = {"messages": [question, {"role": "assistant", "content": None}]}
        lines = [json.dumps(row) for row in good] + ['{"messages": [', '{"other": 1}', json.dumps(none)]
        path = self.file("bad.jsonl", "\n".join(lines) + "\n")
        out = self.weft("learn", path, "--dry-run", *SMALL)[0]
        self.assertIn("left out 1", out)
        for line in (4, 5, 6):
            self.assertRegex(out, rf"line {line}\b|:{line}\b")
        facts = self.json("learn", path, "--dry-run", "--json", *SMALL)
        self.assertEqual(facts["data"]["documents"], 3)
        self.assertEqual(sum(skip["count"] for skip in facts["data"]["skipped"]), 3)
        self.fails("learn", self.file("all.jsonl", '{"other": 1}\n' * 3), "--name", "n")

    def test_lengths(self):
        long = self.file("long.txt", "The goat walked over the hill and back again. " * 60)
        facts = self.json("learn", long, "--name", "long", "--steps", "2", "--json", *SMALL)
        self.assertGreater(facts["data"]["cut_documents"], 0)
        self.assertIsNone(facts["result"]["eval_loss_before"])
        one = self.json("learn", self.records(1), "--name", "one", "--steps", "2", "--json", *SMALL)
        self.assertEqual(one["data"]["train_documents"], 1)


class Stopping(WeftCase):
    def start(self, *args):
        return subprocess.Popen([weft_case.WEFT, "learn", *args, *SMALL, "--json-lines"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env,
                                cwd=self.dir)

    def stop_after(self, steps, number, *args):
        run = self.start(*args)
        for line in run.stdout:
            row = json.loads(line)
            if row.get("event") == "step" and row["step"] == steps:
                run.send_signal(number)
                break
        out, err = run.communicate(timeout=300)
        return run.returncode, out.decode(), err.decode()

    def test_signals(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            name = f"n{int(number)}"
            code, out, err = self.stop_after(2, number, self.records(), "--name", name,
                                             "--steps", "400")
            self.assertEqual(code, 130, err)
            self.assertIn(f"weft learn --name {name} --resume", err)
            self.assertEqual(json.loads(out.splitlines()[-1])["state"], "interrupted")
            self.fails("learn", self.records(), "--name", name, says=["not finished", "--resume"])
            self.assertEqual(self.json("list", "--json")["adapters"][0]["state"], "unfinished")
            self.fails("chat", "--adapter", name, "-p", "x", says="not finished")
        self.fails("learn", "--name", name, "--resume", "--steps", "300", says="steps")

    def test_resume_gives_the_same(self):
        data = self.records()
        self.learn(data, "--name", "straight", "--steps", "8", "--eval-every", "3")
        self.stop_after(3, signal.SIGINT, data, "--name", "broken", "--steps", "8",
                        "--eval-every", "3")
        self.weft("learn", "--name", "broken", "--resume", "-q")
        files = [self.path("store", "adapters", name, "peft", "adapter_model.safetensors")
                 for name in ("straight", "broken")]
        self.assert_same(*files)

    def test_resume_refusals(self):
        data = self.records()
        self.fails("learn", "--name", "never", "--resume",
                   says="there is no unfinished run named 'never'")
        self.stop_after(2, signal.SIGINT, data, "--name", "n", "--steps", "400")
        checkpoint = self.path("store", "adapters", "n", "checkpoint.safetensors")
        with open(checkpoint, "rb") as f:
            content = f.read()
        for size in (0, 5, 300, len(content) // 2, len(content) - 1):
            with open(checkpoint, "wb") as f:
                f.write(content[:size])
            self.fails("learn", "--name", "n", "--resume", says=["checkpoint", "--force"])
        with open(checkpoint, "wb") as f:
            f.write(content)
        with open(data, "a") as f:
            f.write('{"text": "one more"}\n')
        self.fails("learn", "--name", "n", "--resume", says="data set")
        self.file("store/adapters/n/run.json", "{broken")
        self.fails("learn", "--name", "n", "--resume", says=["run.json is damaged", "--force"])
        self.learn(data, "--name", "n", "--steps", "1", "--force")

    def test_two_at_once(self):
        run = self.start(self.records(), "--name", "n", "--steps", "4000")
        run.stdout.readline()
        self.fails("learn", self.records(), "--name", "n", "--force", *SMALL,
                   says="another weft is learning 'n'")
        run.kill()
        run.communicate()


class Disk(WeftCase):
    def limited(self, size):
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    def test_full_while_learning(self):
        data = self.records()
        for size in (100, 20000, 150000):
            out, err = self.learn(data, "--name", "n", "--steps", "2", "--force", code=1,
                                  preexec_fn=self.limited(size))
            self.assertIn("cannot write", err)
        self.assertIn("--resume", err)
        self.learn("--name", "n", "--resume")
        self.learn(data, "--name", "m", "--steps", "2")
        self.assert_same(*[self.path("store", "adapters", name, "peft", "adapter_model.safetensors")
                           for name in "nm"])

    def test_full_while_exporting(self):
        self.learn(self.records(), "--name", "me", "--steps", "1")
        out = self.path("out.gguf")
        self.fails("export", "me", "--out", out, says=["cannot write", "out.gguf"],
                   preexec_fn=self.limited(20000))
        self.assertEqual([n for n in os.listdir(self.dir) if n.startswith("out")], [])

    def test_store_is_no_folder(self):
        self.file("store", "a file in its place")
        self.fails("learn", self.records(), "--name", "n", *SMALL, says="store")


if __name__ == "__main__":
    weft_case.main()
