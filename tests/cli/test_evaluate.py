"""Evaluation from outside: right answers, samples, multiple-choice tasks, names made of paths."""
import json
import os

import weft_case
from weft_case import SMALL, WeftCase


class Evaluation(WeftCase):
    def questions(self, count=30):
        """Questions with the label Yes or No, in the form of a published biomedical set."""
        rows = []
        for i in range(count):
            label, animal = ("Yes", "fish") if i % 2 else ("No", "stone")
            question = f"Can the {animal} number {i} swim?"
            rows.append({"text": f"Q: {question}\nA: {label}. Rationale: It is a {animal}.",
                         "label": label, "question": question, "rationale_src": f"A {animal}.",
                         "source": "made"})
        return self.file("small set.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def test_one_command_learns_answers(self):
        data = self.questions()
        out, err = self.weft("learn", data, *SMALL, "--context", "64", "--batch", "128",
                             "--epochs", "6")
        first, second = out.index("right (95% interval)"), out.index("held-out loss")
        self.assertLess(first, second)
        self.assertLess(second, out.index("samples"))
        for part in ("before", "after", "the usual answer always", "perplexity", "3 questions"):
            self.assertIn(part, out)
        with open(self.path("store", "adapters", "small-set", "run.json")) as f:
            before, after = json.load(f)["result"]["answers"]
        self.assertEqual(before["questions"], 3)
        self.assertEqual(before["labels"], 2)
        self.assertGreaterEqual(after["accuracy"]["value"], before["accuracy"]["value"])
        facts = self.json("eval", data, "--adapter", "small-set", "--json", "--samples", "1")
        plain, learnt = facts["answers"]
        self.assertEqual(plain["questions"], 30)
        self.assertEqual(learnt["accuracy"]["value"], 1)
        self.assertLess(learnt["accuracy"]["low"], 1)
        self.assertEqual(learnt["generated"]["value"], 1)
        self.assertEqual(plain["usual"], 0.5)
        kept = self.weft("eval", "--kept", "--adapter", "small-set")[0]
        for name in ("right answers before", "held-out loss", "right answers, small set.jsonl",
                     "loss, small set.jsonl, plain model"):
            self.assertIn(name, kept)
        sample = facts["samples"][0]
        self.assertIn("Can the stone number 0 swim?", sample["prompt"])
        self.assertTrue(sample["person"].startswith("No."))
        self.assertEqual([a["name"] for a in sample["answers"]], ["plain model", "small-set"])

    def test_samples_can_be_left_out(self):
        out = self.weft("learn", self.records(), "--steps", "1", "--samples", "0", *SMALL)[0]
        self.assertNotIn("samples", out)
        self.assertIn("weft chat --adapter records", out)
        self.fails("learn", self.records(), says="there is an adapter named 'records'")

    def test_general_task(self):
        self.learn(self.records(), "--name", "wild", "--steps", "4", "--rate", "0.05", "--warmup",
                   "0", "--eval-share", "0")
        out, err = self.weft("eval", "--lm", "general", "--adapter", "wild")
        self.assertIn("forgets much general English", out)
        plain, none = self.json("eval", "--lm", "general", "--adapter", "wild:0", "--json")["task"]
        self.assertEqual(plain["items"], 60)
        self.assertGreater(plain["accuracy"]["value"], 0.7)
        self.assertGreater(plain["general_loss"], 2)
        self.assertEqual(none["general_loss"], plain["general_loss"])
        self.assertEqual(none["verdict"], "keeps what the model knew")

    def test_own_task(self):
        task = self.file("task.jsonl", json.dumps(
            {"question": "Which is a number?", "choices": ["seven", "zzgrx"], "answer": "A"}))
        rows = self.json("eval", "--lm", task, "--json")["task"]
        self.assertEqual(rows[0]["items"], 1)
        self.assertEqual(rows[0]["accuracy"]["value"], 1)
        self.assertNotIn("verdict", rows[0])
        self.fails("eval", "--lm", "nothing", says=["no task 'nothing'", "general"])
        self.fails("eval", "--lm", self.file("bad.jsonl", "{}\n"), says=["bad.jsonl: line 1", "question"])
        self.fails("eval", code=2, says=["PATH is missing", "--lm TASK"])

    def test_audit(self):
        rows = [{"text": f"A note about day {i}."} for i in range(6)]
        rows.append({"text": "The number of my bank account is 4471 9926."})
        data = self.file("notes.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        self.weft("learn", data, "--name", "leaky", "--canaries", "2", "--epochs", "60", "--rate",
                  "0.01", "--rank", "8", "--context", "64", "--batch", "128", "--accumulate", "1",
                  "--eval-share", "0", "--samples", "0", "-q")
        with open(self.path("store", "adapters", "leaky", "run.json")) as f:
            canaries = json.load(f)["canaries"]
        self.assertEqual(len(canaries), 2)
        facts = self.json("audit", "leaky", "--variants", "63", "--json")
        self.assertEqual((facts["strings"], facts["canaries"], facts["limit_bits"]), (1, 2, 6))
        own = facts["secrets"][0]
        self.assertEqual((own["kind"], own["text"]), ("number", "4471 9926"))
        for secret in facts["secrets"][1:]:
            self.assertTrue(any(f"is {secret['text']}." in c for c in canaries))
        self.assertEqual([s["drawn"] for s in facts["secrets"]], [True] * 3)
        self.assertEqual(own["exposure"], 6)
        self.assertLess(own["plain_log_p"], own["log_p"])
        self.assertIn("1 of 1 private strings can be drawn out of this adapter by someone who has "
                      'it: "4471 9926".', facts["verdict"])
        text = self.weft("audit", "leaky:0", "--variants", "15")[0]
        self.assertIn("0 of 1 private strings", text)
        self.assertIn("no proof", text)

    def test_audit_refusals(self):
        self.fails("audit", code=2, says="NAME is missing")
        self.fails("audit", "nobody", says=["nobody", "give PATH"])
        self.learn(self.records(), "--name", "me", "--steps", "1")
        self.fails("audit", "me", self.path("gone.jsonl"), says="gone.jsonl")
        self.assertIn("--canaries 10", self.weft("audit", "me", "--variants", "1")[0])


if __name__ == "__main__":
    weft_case.main()
