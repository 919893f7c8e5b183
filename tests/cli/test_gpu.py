"""Learning and answering on a Vulkan device from outside: the processor's losses, small bindings, a
run that is killed and goes on, on either side. Ends with 77 where there is no device. The second
argument `brief` is for drivers that compute slowly."""
import json
import os
import subprocess
import sys
import unittest

import weft_case
from weft_case import ROOT, SMALL, WeftCase

BRIEF = "brief" in sys.argv
if BRIEF:
    sys.argv.remove("brief")
MAILBOX = os.path.join(ROOT, "examples", "mailbox.mbox")
OPTIONS = [*SMALL, "--eval-share", "0", "--samples", "0", "--targets", "q_proj,down_proj"]


class Gpu(WeftCase):
    def events(self, *args):
        out = self.weft("learn", *args, "--json-lines")[0]
        return [json.loads(line) for line in out.splitlines()]

    def losses(self, name, steps, *args):
        events = self.events(MAILBOX, "--name", name, "--steps", str(steps), *OPTIONS, *args)
        return [e["loss"] for e in events if e.get("event") == "step"]

    def assert_close(self, some, others):
        """Rounded activations at their borders: within 1% at every step."""
        self.assertEqual(len(some), len(others))
        for a, b in zip(some, others):
            self.assertLess(abs(a - b), 0.01 * abs(b))

    @unittest.skipIf(BRIEF, "takes too long here")
    def test_a_run_goes_on_anywhere(self):
        """Killed on the GPU, resumed on the processor; and as the GPU alone would have had it."""
        whole = self.losses("whole", 3, "--device", "gpu", "--checkpoint-every", "1")
        run = subprocess.Popen([weft_case.WEFT, "learn", MAILBOX, "--name", "cut", "--steps", "3",
                                *OPTIONS, "--device", "gpu", "--checkpoint-every", "1",
                                "--json-lines"], env=self.env, cwd=self.dir,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for line in run.stdout:
            if json.loads(line).get("event") == "checkpoint":
                break
        run.kill()
        run.communicate()
        rest = self.events("--name", "cut", "--resume", "--device", "cpu")
        rest = [e["loss"] for e in rest if e.get("event") == "step"]
        self.assertIn(len(rest), (1, 2))
        self.assert_close(rest, whole[-len(rest):])
        answer = self.weft("chat", "--adapter", "cut", "--device", "gpu", "-p", "Say 1",
                           "--max-tokens", "2", "--temperature", "0")[0]
        self.assertTrue(answer.strip())

    def test_losses_are_the_processors(self):
        steps = 1 if BRIEF else 5
        cpu = self.losses("cpu", steps, "--device", "cpu")
        self.assertEqual(len(cpu), steps)
        self.assert_close(self.losses("gpu", steps, "--device", "gpu", "--max-buffer", "16M"), cpu)


if __name__ == "__main__":
    found = json.loads(subprocess.run([sys.argv[1], "devices", "--json"], capture_output=True,
                                      check=True).stdout)["devices"]
    if not any(d["id"].startswith("gpu") and not d["unusable"] for d in found):
        print("skipped: no Vulkan device")
        sys.exit(77)
    weft_case.main()
