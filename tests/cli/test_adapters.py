"""What is done with adapters once they are learnt: list, rename, describe, remove, blend, use several
at once."""
import os
import shutil

import weft_case
from weft_case import SMALL, WeftCase


class AdaptersCase(WeftCase):
    def folder(self, name, *rest):
        return self.path("store", "adapters", name, *rest)

    def rows(self):
        return {row["name"]: row for row in self.json("list", "--json")["adapters"]}

    def loss(self, data, *adapters):
        """Held-out loss under adapters, together if they are several."""
        chosen = [word for a in adapters for word in ("--adapter", a)]
        return self.json("eval", data, "--held-out", "--context", "32",
                         "--activations", "f32", *chosen,
                         "--json")["results"][-1]["loss"]


class Keeping(AdaptersCase):
    def test_list_describe_rename_remove(self):
        data = self.records()
        self.learn(data, "--name", "a", "--steps", "2")
        self.weft("describe", "a", "numbers, with Ahoy")
        row = self.rows()["a"]
        self.assertEqual((row["description"], row["rank"], row["run"], row["state"]),
                         ("numbers, with Ahoy", 2, 1, "done"))
        self.assertIn("numbers, with Ahoy", self.weft("list")[0])
        self.weft("rename", "a", "b")
        self.assertFalse(os.path.exists(self.folder("a")))
        self.assertTrue(os.path.exists(self.folder("b", "b.gguf")))
        self.assertEqual(self.rows()["b"]["description"], "numbers, with Ahoy")
        self.assertEqual(self.json("runs", "--json")["runs"][0]["adapter"], "b")
        self.weft("chat", "--adapter", "b", "-p", "Hi", "-n", "2")
        self.learn(data, "--name", "c", "--steps", "1")
        self.fails("rename", "b", "c", says="there is an adapter 'c' already")
        self.fails("rename", "x", "y", says="there is no adapter 'x'")
        self.fails("rename", "b", code=2, says="not enough arguments")
        self.fails("describe", "x", "y", says="there is no adapter 'x'")
        self.fails("remove", "b", code=2, says="--yes")
        self.weft("remove", "b", "--yes")
        self.assertEqual(list(self.rows()), ["c"])
        self.assertFalse(os.path.exists(self.folder("b")))
        self.assertEqual(len(self.json("runs", "--json")["runs"]), 2)
        self.fails("remove", "b", "--yes", says="there is no adapter 'b'")

    def test_made_without_history(self):
        """An adapter from before there was a history, or copied from elsewhere."""
        self.learn(self.records(), "--name", "a", "--steps", "1")
        for name in os.listdir(self.path("store")):
            if name.startswith("weft.db"):
                os.remove(self.path("store", name))
        self.assertEqual(self.rows()["a"]["state"], "done")
        self.weft("describe", "a", "old")
        self.weft("rename", "a", "b")
        self.assertEqual(self.rows()["b"]["description"], "old")


class Blending(AdaptersCase):
    def test_blend(self):
        data = self.records()
        self.learn(data, "--name", "a", "--steps", "4")
        self.weft("learn", data, "--name", "b", "--steps", "4", "--targets", "attn", "--alpha", "4",
                  "-q", *SMALL, "--rank", "3", "--seed", "5")
        together = self.loss(data, "a:0.7", "b:0.5")
        out = self.weft("blend", "a:0.7", "b:0.5", "--name", "both")[0]
        self.assertIn("exactly the blend", out)
        row = self.rows()["both"]
        self.assertEqual((row["rank"], row["parents"], row["run"]), (5, "a:0.7, b:0.5", 0))
        self.assertAlmostEqual(self.loss(data, "both"), together, places=4)
        self.assertIn("a:0.7, b:0.5", self.weft("list")[0])
        whole = self.json("blend", "a:0.7", "b:0.5", "--name", "same", "--rank", "5", "--json")
        self.assertLess(whole["relative_error"], 1e-6)
        self.assertAlmostEqual(self.loss(data, "same"), together, places=4)
        small = self.json("blend", "a:0.7", "b:0.5", "--name", "small", "--rank", "1", "--json")
        self.assertTrue(0 < small["relative_error"] < 1, small)
        self.assertEqual(self.json("info", "small", "--json")["adapter"]["rank"], 1)
        # A blend is an adapter like any other.
        self.weft("export", "both", "--out", self.path("both.gguf"))
        self.learn(data, "--name", "more", "--from", "both", "--steps", "1")
        self.fails("blend", "a", "b", "--name", "both", says="there is an adapter named 'both'")
        self.fails("blend", "a", "nobody", "--name", "z", says="no adapter 'nobody'")
        self.fails("blend", "a", "b", code=2, says="--name is missing")
        self.assertFalse(os.path.exists(self.folder("z")))

    def test_several_at_once(self):
        data = self.records()
        self.learn(data, "--name", "a", "--steps", "2")
        shutil.copy(self.folder("a", "a.gguf"), self.path("x.gguf"))
        out = self.json("chat", "--adapter", "a:0.7", "--adapter", self.path("x.gguf") + ":0.3",
                        "-p", "Hi", "-n", "2", "--json")
        self.assertEqual([(round(a["scale"], 3)) for a in out["adapters"]], [0.7, 0.3])
        # Halves of the same are the same as the whole.
        self.assertAlmostEqual(self.loss(data, "a:0.5", self.path("x.gguf") + ":0.5"),
                               self.loss(data, "a"), places=4)


if __name__ == "__main__":
    weft_case.main()
