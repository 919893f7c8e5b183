"""Kill -9 a learning run at random moments, at least 20 times, and resume it: the adapter must be
the one of an undisturbed run, byte for byte."""
import os
import random
import subprocess
import time

import weft_case
from weft_case import SMALL, WeftCase

KILLS_MIN = 24
OPTIONS = ["--name", "n", "--steps", "24", "--eval-every", "6", "--checkpoint-every", "1",
           "--dropout", "0.1", "-q", *SMALL]
FILES = ["n.gguf", "peft/adapter_model.safetensors", "peft/adapter_config.json"]


class KillResume(WeftCase):
    def results(self):
        folder = os.path.join(self.env["WEFT_HOME"], "adapters", "n")
        contents = []
        for name in FILES:
            with open(os.path.join(folder, name), "rb") as f:
                contents.append(f.read())
        return contents

    def start(self, *args):
        return subprocess.Popen([weft_case.WEFT, "learn", *args], env=self.env, cwd=self.dir,
                                stderr=subprocess.PIPE)

    def disturbed(self, data, rng, delay_max):
        """One run with kills until it ends; returns how many there were."""
        kills, resume = 0, False
        while True:
            run = self.start("--name", "n", "--resume", "-q") if resume else \
                self.start(data, *OPTIONS, "--force")
            try:
                _, err = run.communicate(timeout=rng.uniform(0, delay_max))
                self.assertEqual(run.returncode, 0, err)
                return kills
            except subprocess.TimeoutExpired:
                run.kill()
                run.communicate()
                kills += 1
            home = self.env["WEFT_HOME"]
            resume = os.path.exists(os.path.join(home, "adapters", "n", "run.json"))

    def test_same_bytes(self):
        data, rng = self.records(20), random.Random(20240917)
        begin = time.monotonic()
        run = self.start(data, *OPTIONS)
        self.assertEqual(run.wait(), 0, run.stderr.read())
        run.stderr.close()
        seconds = time.monotonic() - begin
        expected = self.results()
        self.env["WEFT_HOME"] = self.path("disturbed")
        kills = rounds = 0
        while kills < KILLS_MIN:
            kills += self.disturbed(data, rng, seconds / 4)
            rounds += 1
            for name, want, got in zip(FILES, expected, self.results()):
                self.assertEqual(want, got, f"{name} differs after {kills} kills")
        print(f"{kills} kills in {rounds} runs, {seconds:.1f} s undisturbed")


if __name__ == "__main__":
    weft_case.main()
