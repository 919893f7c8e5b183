"""The history of runs from outside: killed, resumed, stopped early, continued; tables, curves and
files; a history that is damaged or gone."""
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import xml.dom.minidom

import weft_case
from weft_case import SMALL, WeftCase


class RunsCase(WeftCase):
    def runs(self):
        return self.json("runs", "--last", "0", "--json")["runs"]

    def show(self, number):
        return self.json("runs", "show", str(number), "--json")

    def start(self, *args):
        return subprocess.Popen([weft_case.WEFT, "learn", *args, "--json-lines"], env=self.env,
                                cwd=self.dir, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def wait_for(self, run, kind, step):
        for line in run.stdout:
            event = json.loads(line)
            if event.get("event") == kind and event["step"] >= step:
                return
        self.fail(f"no {kind} at step {step}")

    def kill_at(self, step, *args):
        """A run that is killed once the checkpoint of that step is written."""
        run = self.start(*args)
        self.wait_for(run, "checkpoint", step)
        run.kill()
        run.communicate()


class History(RunsCase):
    def test_nothing_yet(self):
        self.assertIn("no run yet", self.weft("runs")[0])
        self.assertEqual(self.runs(), [])
        self.fails("runs", "show", "1", says="there is no run 1")
        self.fails("runs", "show", "x", says="'x' is no number")
        self.fails("runs", "compare", "1", says="is no number")
        self.fails("runs", "shwo", "1", says="perhaps you mean show")
        self.fails("runs", "show", "1", "2", says="one argument too many")

    def test_one_run(self):
        data = self.records()
        self.learn(data, "--name", "me", "--steps", "6", "--eval-every", "2")
        [run] = self.runs()
        self.assertEqual((run["id"], run["adapter"], run["state"], run["step"], run["parent"]),
                         (1, "me", "finished", 6, 0))
        self.assertEqual(run["path"], os.path.realpath(data))
        self.assertGreater(run["ended"], 0)
        shown = self.show(1)
        self.assertEqual([p["step"] for p in shown["points"]], list(range(7)))
        self.assertEqual([p["step"] for p in shown["points"] if p["eval_loss"] is not None],
                         [0, 2, 4, 6])
        self.assertEqual(shown["options"]["rank"], "2")
        self.assertEqual(shown["best_eval_loss"], min(p["eval_loss"] for p in shown["points"]
                                                      if p["eval_loss"] is not None))
        out = self.weft("runs")[0]
        self.assertIn("finished", out)
        self.assertTrue(any(block in out for block in "▁▂▃▄▅▆▇█"), out)
        out = self.weft("runs", "show", "1")[0]
        self.assertTrue(any(0x2801 <= ord(c) <= 0x28ff for c in out), out)
        out = self.weft("runs", "show", "1", "--ascii")[0]
        self.assertTrue(out.isascii(), out)
        self.assertIn("held-out loss", out)

    def test_files(self):
        self.learn(self.records(), "--name", "me", "--steps", "3")
        svg, png = self.path("curve.svg"), self.path("curve.PNG")
        self.weft("runs", "show", "1", "--plot", svg)
        self.weft("runs", "show", "1", "--plot", png)
        root = xml.dom.minidom.parse(svg).documentElement
        self.assertEqual(root.tagName, "svg")
        self.assertTrue(root.getElementsByTagName("path"))
        with open(png, "rb") as f:
            self.assertEqual(f.read(8), b"\x89PNG\r\n\x1a\n")
        self.fails("runs", "show", "1", "--plot", self.path("x.gif"), says=".svg nor .png")
        self.fails("runs", "show", "1", "--plot", self.path("no", "x.svg"), says="x.svg")

    def test_compare(self):
        data = self.records()
        self.learn(data, "--name", "a", "--steps", "3")
        self.learn(data, "--name", "b", "--steps", "3", "--rate", "0.01")
        out = self.weft("runs", "compare", "1", "2", "--plot", self.path("both.svg"))[0]
        self.assertIn("held-out loss at best", out)
        self.assertRegex(out, r"rate +0\.002\S* +0\.01")
        self.assertTrue(os.path.exists(self.path("both.svg")))
        both = self.json("runs", "compare", "2", "1", "--json")["runs"]
        self.assertEqual([r["id"] for r in both], [2, 1])
        self.assertEqual([r["id"] for r in self.json("runs", "-a", "b", "--json")["runs"]], [2])
        self.assertIn("1 older", self.weft("runs", "--last", "1")[0])

    def test_delete(self):
        self.learn(self.records(), "--name", "me", "--steps", "1")
        self.fails("runs", "delete", "1", says="--yes")
        self.weft("runs", "delete", "1", "--yes")
        self.assertEqual(self.runs(), [])
        self.weft("chat", "--adapter", "me", "-p", "Hi", "-n", "2")
        self.fails("runs", "delete", "1", "--yes", says="there is no run 1")

    def test_failed_run(self):
        """The disk is full once the checkpoint is to be written."""
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (150000, 150000))
        self.learn(self.records(), "--name", "n", "--steps", "1", code=1, preexec_fn=limit)
        [run] = self.runs()
        self.assertEqual(run["state"], "failed")
        self.assertIn("cannot write", run["reason"])
        self.weft("runs", "resume", "1")
        [run] = self.runs()
        self.assertEqual((run["state"], run["reason"], run["resumed"]), ("finished", "", 1))


class Interrupted(RunsCase):
    def test_killed_resumed_is_one_run(self):
        options = ["--name", "me", "--steps", "12", "--eval-every", "3", "--checkpoint-every", "4",
                   *SMALL]
        self.kill_at(8, self.records(), *options)
        [run] = self.runs()
        self.assertEqual(run["state"], "interrupted")
        self.assertIn("without a word", run["reason"])
        self.weft("runs", "resume", "1")
        [run] = self.runs()
        self.assertEqual((run["state"], run["resumed"], run["step"]), ("finished", 1, 12))
        steps = [p["step"] for p in self.show(1)["points"]]
        self.assertEqual(steps, list(range(13)))
        self.fails("runs", "resume", "1", says=["has ended", "--from me"])

    def test_stopped_by_a_signal(self):
        run = self.start(self.records(), "--name", "me", "--steps", "4000", *SMALL)
        self.wait_for(run, "step", 2)
        self.assertEqual(self.runs()[0]["state"], "running")
        self.fails("runs", "delete", "1", "--yes", says="stop it first")
        self.fails("runs", "resume", "1", says="right now")
        run.send_signal(signal.SIGINT)
        run.communicate()
        self.assertEqual(run.returncode, 130)
        [row] = self.runs()
        self.assertEqual(row["state"], "interrupted")
        self.assertIn("Ctrl-C", row["reason"])

    def test_learnt_anew(self):
        options = ["--name", "me", "--checkpoint-every", "2", *SMALL]
        self.kill_at(2, self.records(), *options, "--steps", "4000")
        self.learn(self.records(), "--name", "me", "--steps", "1", "--force")
        self.assertEqual([r["state"] for r in self.runs()], ["interrupted", "finished"])
        self.fails("runs", "resume", "1", says="learnt anew since")


class Composed(RunsCase):
    """Killing, resuming, stopping early and learning on, on a run made to over-fit."""

    OVERFIT = ["--steps", "4000", "--rate", "0.02", "--schedule", "constant", "--warmup", "0",
               "--eval-every", "4", "--patience", "3", "--checkpoint-every", "4", *SMALL]

    def talks(self):
        """A few sentences to learn by heart, and some that have nothing in common with them."""
        words = "boat goat soup mast sail rope gull cove tide kelp crab oars".split()
        rows = [{"messages": [{"role": "user", "content": f"Say {i}"},
                              {"role": "assistant", "content":
                               f"{words[i % 12]} {words[i * 5 % 12]} {words[i * 7 % 12]} {i * 37}"}]}
                for i in range(12)]
        return self.file("talks.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def parameters(self, name):
        path = self.path("store", "adapters", name, "peft", "adapter_model.safetensors")
        with open(path, "rb") as f:
            return f.read()

    def held_out(self, data, name):
        rows = self.json("eval", data, "--held-out", "--adapter", name, "--context", "32",
                         "--json")["results"]
        return rows[1]["loss"]

    def test_all_of_it(self):
        data = self.talks()
        self.learn(data, "--name", "whole", *self.OVERFIT)
        self.kill_at(4, data, "--name", "me", *self.OVERFIT)
        for step in (8, 12):
            run = self.start("--name", "me", "--resume")
            self.wait_for(run, "checkpoint", step)
            run.kill()
            run.communicate()
        self.weft("learn", "--name", "me", "--resume", "-q")
        whole, me = self.runs()
        self.assertEqual((whole["state"], me["state"]), ("stopped early", "stopped early"))
        self.assertEqual((whole["resumed"], me["resumed"]), (0, 3))
        self.assertEqual(self.parameters("whole"), self.parameters("me"))
        for key in ("step", "tokens", "best_step", "best_eval_loss", "first_eval_loss",
                    "last_loss"):
            self.assertEqual(whole[key], me[key], key)
        # Over-fitted: later evaluations were worse, and what is kept is the best one's.
        points = [p for p in self.show(2)["points"] if p["eval_loss"] is not None]
        self.assertLess(me["best_step"], me["step"])
        self.assertEqual(points[-1]["step"] - me["best_step"], 12)
        self.assertGreater(points[-1]["eval_loss"], me["best_eval_loss"])
        self.assertEqual([p["step"] for p in self.show(2)["points"]], list(range(me["step"] + 1)))
        self.assertAlmostEqual(self.held_out(data, "me"), me["best_eval_loss"], places=4)

        # Learning on begins where the best was, as a run of its own that names its parent.
        self.learn(data, "--name", "more", "--from", "me", "--steps", "4", "--rate", "0.0001")
        run = self.runs()[-1]
        self.assertEqual((run["parent"], run["adapter"], run["state"]), (2, "more", "finished"))
        self.assertAlmostEqual(run["first_eval_loss"], me["best_eval_loss"], places=6)
        self.assertLessEqual(run["best_eval_loss"], run["first_eval_loss"])
        self.assertIn("after run 2", self.weft("runs")[0])
        self.assertIn("continues run 2", self.weft("runs", "show", "3")[0])

    def test_from(self):
        data = self.records()
        self.learn(data, "--name", "a", "--steps", "4")
        self.fails("learn", data, "--name", "b", "--from", "nobody", *SMALL,
                   says="no adapter 'nobody'")
        # The shape is that of what it continues from, and a killed run goes on.
        self.kill_at(2, data, "--name", "b", "--from", "a", "--steps", "6", "--checkpoint-every",
                     "2", "--context", "32", "--rank", "7")
        self.weft("learn", "--name", "b", "--resume", "-q")
        self.assertEqual(self.json("info", "b", "--json")["adapter"]["rank"], 2)
        self.learn(data, "--name", "c", "--from", "a", "--steps", "6", "--checkpoint-every", "2")
        self.assertEqual(self.runs()[1]["parent"], 1)

    def test_replay(self):
        data = self.records()
        general = self.file("general.txt", "The sun is warm. The sea is wide. It rains.\n\n" * 40)
        rest = [data, "--steps", "12", "--replay", general, "--replay-share", "0.25",
                "--checkpoint-every", "4", "--eval-every", "6"]
        out = self.weft("learn", *rest, "--name", "a", *SMALL)[0]
        self.assertIn("replayed, 25% of what is learnt", out)
        points = self.show(1)["points"]
        self.assertEqual(sum(p["replay_loss"] is not None for p in points), 4)
        self.kill_at(4, *rest, "--name", "b", *SMALL)
        self.weft("learn", "--name", "b", "--resume", "-q")
        self.assertEqual(self.parameters("a"), self.parameters("b"))
        self.fails("learn", *rest, "--name", "c", "--replay-share", "0.95", code=2,
                   says="--replay-share")


class Broken(RunsCase):
    def test_damaged_history(self):
        """A clear error; the adapters stay usable, and moving the file away is all it takes."""
        self.learn(self.records(), "--name", "me", "--steps", "1")
        database = self.path("store", "weft.db")
        for name in os.listdir(self.path("store")):
            if name.startswith("weft.db-"):
                os.remove(self.path("store", name))
        with open(database, "r+b") as f:
            f.write(b"broken" * 1000)
        self.fails("runs", says=["weft.db is damaged", "move it away", "not touched"])
        self.fails("learn", self.records(), "--name", "other", *SMALL, says="move it away")
        self.assertIn("me", self.weft("list")[0])
        self.weft("chat", "--adapter", "me", "-p", "Hi", "-n", "2")
        shutil.move(database, database + ".old")
        self.learn(self.records(), "--name", "other", "--steps", "1")
        self.assertEqual([r["adapter"] for r in self.runs()], ["other"])
        self.assertEqual(len(self.json("list", "--json")["adapters"]), 2)

    def test_history_gone_between(self):
        self.kill_at(2, self.records(), "--name", "me", "--steps", "6", "--checkpoint-every", "2",
                     *SMALL)
        for name in os.listdir(self.path("store")):
            if name.startswith("weft.db"):
                os.remove(self.path("store", name))
        self.weft("learn", "--name", "me", "--resume", "-q")
        [run] = self.runs()
        self.assertEqual((run["state"], run["step"]), ("finished", 6))

    def test_locked_history(self):
        """Another program holds the file: the run says so once and goes on."""
        run = self.start(self.records(), "--name", "me", "--steps", "4", *SMALL)
        self.wait_for(run, "step", 1)
        database = sqlite3.connect(self.path("store", "weft.db"), isolation_level=None, timeout=30)
        database.execute("BEGIN EXCLUSIVE")
        self.addCleanup(database.close)
        run.communicate()
        database.execute("ROLLBACK")
        self.assertEqual(run.returncode, 0)
        self.assertEqual(self.json("list", "--json")["adapters"][0]["state"], "done")


if __name__ == "__main__":
    weft_case.main()
