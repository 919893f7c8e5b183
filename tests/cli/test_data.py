"""weft data from outside: what is found, what is learnt of it, and the masks one can see."""
import json
import os

import weft_case
from weft_case import ROOT, WeftCase

CHATS = os.path.join(ROOT, "tests", "ingest", "samples", "chats")
TALK = {"messages": [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "Two."},
                     {"role": "user", "content": "Three?"},
                     {"role": "assistant", "content": "Four."}]}


class Data(WeftCase):
    def talk(self):
        return self.file("talk.jsonl", json.dumps(TALK) + "\n")

    def learnt(self, *options):
        """The pieces that are learnt of TALK."""
        facts = self.json("data", self.talk(), "--json", "--eval-share", "0", *options)
        return [p["text"] for p in facts["samples"][0]["pieces"] if p["learnt"]]

    def test_kinds_and_reasons_are_said(self):
        out = self.weft("data", CHATS, "--samples", "0")[0]
        for part in ("WhatsApp chat export: 3 files", "written by Bruno\n", "Slack export",
                     "X (Twitter) archive", "left out 2: media left out of the export (first: ",
                     "cut into windows of that length", "median", "\u2588"):
            self.assertIn(part, out)
        self.assertNotIn("document 1 ", out)

    def test_json(self):
        facts = self.json("data", CHATS, "--json", "--samples", "2")
        kinds = {k["kind"]: k for k in facts["data"]["kinds"]}
        self.assertEqual(kinds["telegram"]["owner"], "Bruno Tarrow")
        self.assertEqual(kinds["x"]["documents"], 3)
        self.assertEqual(sum(k["documents"] for k in kinds.values()), facts["data"]["documents"])
        self.assertEqual(sum(r["documents"] for r in facts["lengths"]["ranges"]),
                         facts["data"]["documents"])
        self.assertEqual(len(facts["samples"]), 2)

    def test_masks(self):
        self.assertEqual([t.split("<")[0] for t in self.learnt()], ["Two.", "Four."])
        last = self.learnt("--learn", "completion")
        self.assertEqual([t.split("<")[0] for t in last], ["Four."])
        everything = self.learnt("--learn", "all")
        self.assertEqual(len(everything), 1)
        self.assertIn("One?", everything[0])
        out = self.weft("data", self.talk(), "--mask", "--eval-share", "0")[0]
        self.assertIn("{+Two.", out)
        self.assertNotIn("{+One?", out)
        self.assertNotIn("\033", out)

    def test_owner_and_source(self):
        chat = os.path.join(CHATS, "whatsapp_android.txt")
        out = self.weft("data", chat, "--owner", "Anna", "--mask", "--eval-share", "0")[0]
        self.assertIn("{+Barely.", out)
        out = self.weft("data", chat, "--as", "text", "--eval-share", "0")[0]
        self.assertIn("(text, ", out)
        self.fails("data", chat, "--as", "whatapp", says="there is no source called \"whatapp\"")

    def test_redaction_and_duplicates(self):
        line = json.dumps({"text": "Write to anna@example.org or call 555-123-4567."}) + "\n"
        path = self.file("private.jsonl", line + line)
        facts = self.json("data", path, "--redact", "--json", "--eval-share", "0")
        self.assertEqual(facts["data"]["replaced"]["email"], 1)
        self.assertEqual(facts["data"]["replaced"]["phone"], 1)
        self.assertEqual(facts["data"]["documents"], 1)
        text = "".join(p["text"] for p in facts["samples"][0]["pieces"])
        self.assertIn("Write to [email] or call [phone].", text)
        out = self.weft("data", path, "--keep-duplicates", "--eval-share", "0")[0]
        self.assertIn("found   2 documents", out)
        self.assertIn("anna@example.org", out)
        self.assertIn("left out 1: the same as an earlier one",
                      self.weft("data", path, "--eval-share", "0")[0])

    def test_learn_and_eval_read_alike(self):
        rows = [{"prompt": f"Where is {i}?", "completion": f"At me{i}@example.org, say {i}."}
                for i in range(12)]
        path = self.file("mail.jsonl", "".join(json.dumps(row) + "\n" for row in rows * 2))
        options = ["--redact", "--learn", "completion"]
        self.learn(path, "--name", "mail", "--steps", "1", *options)
        with open(self.path("store", "adapters", "mail", "run.json")) as f:
            result = json.load(f)["result"]
        facts = self.json("eval", path, "--held-out", *options, "--context", "32", "--json")
        self.assertEqual(facts["data"]["replaced"]["email"], 12)
        self.assertEqual(facts["data"]["documents"], 12)
        self.assertAlmostEqual(facts["results"][0]["loss"], result["eval_loss_before"], places=3)

    def test_control_characters_do_not_reach_the_terminal(self):
        path = self.file("bell.jsonl", json.dumps({"text": "a\u001b[31mb\u0007c"}) + "\n")
        out = self.weft("data", path, "--eval-share", "0")[0]
        self.assertIn("a?[31mb?c", out)


if __name__ == "__main__":
    weft_case.main()
