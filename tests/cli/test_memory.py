"""The peak of resident memory of training runs is what the plan had said, within 5%."""
import os

from weft_case import ROOT, WeftCase, main


# HIDDEN,LAYERS,HEADS,KV_HEADS,FFN,VOCAB; tokens a row; MiB with everything kept, and with less.
SHAPES = (("256,4,4,2,768,4000", 64, 400, 40),
          ("512,6,8,8,1024,16000", 32, 400, 75),
          ("384,12,6,3,1536,8192", 64, 400, 60),
          ("768,4,12,4,3072,32000", 128, 600, 140),
          ("1024,8,16,16,2816,8000", 32, 800, 150),
          ("125m", 128, 800, 150))


class Memory(WeftCase):
    def assert_planned(self, peak, plan, what):
        self.assertLess(abs(peak - plan), 0.05 * plan, f"{what}: peak {peak}, plan {plan}")

    def learn_with(self, recompute):
        result = self.json("learn", os.path.join(ROOT, "examples", "mailbox.mbox"), "--name", "x",
                           "--steps", "3", "--recompute", recompute, "--json")
        self.assertEqual(result["plan"]["recompute"], recompute == "on")
        self.assert_planned(result["result"]["peak_memory_bytes"], result["plan"]["total_bytes"],
                            f"learn, recompute {recompute}")

    def test_learn_recompute_on(self):
        self.learn_with("on")

    def test_learn_recompute_off(self):
        self.learn_with("off")

    def shape(self, name, less_than):
        """Rows of 128 as measured of another program, which took less_than bytes."""
        result = self.json("bench", "--shape", name, "--only", "train", "--rows", "128",
                           "--seconds", "0", "--json")
        for mode in ("train", "train_kept"):
            speed = result[mode]
            self.assert_planned(speed["peak_bytes"], speed["plan_bytes"], f"{name} {mode}")
            self.assertLess(speed["peak_bytes"], less_than)

    def test_125m(self):
        self.shape("125m", 306 << 20)

    def test_700m(self):
        self.shape("700m", 879 << 20)

    def fitted(self, shape, rows, limit):
        """A training step of 256 tokens with the settings that were chosen to fit the limit."""
        result = self.json("bench", "--shape", shape, "--only", "train", "--rows", str(rows),
                           "--batch", str(256 // rows), "--seconds", "0", "--memory", f"{limit}M",
                           "--json")
        speed = result["train"]
        what = f"{shape} in {limit} MiB"
        self.assert_planned(speed["peak_bytes"], speed["plan_bytes"], what)
        self.assertLessEqual(speed["plan_bytes"], limit << 20, what)
        return result["train_kept"] is not None

    def test_six_shapes_in_two_limits(self):
        """All is kept in the larger limit, which is above what the smaller one allows."""
        for shape, rows, large, small in SHAPES:
            with self.subTest(shape=shape):
                self.assertTrue(self.fitted(shape, rows, large))
                self.fitted(shape, rows, small)

    def test_settings_that_fit(self):
        """Ever less memory: smaller batches, layers computed twice, shorter windows, a refusal."""
        mail = os.path.join(ROOT, "examples", "mailbox.mbox")
        plan = self.json("plan", mail, "--memory", "4G", "--json")["plan"]
        self.assertEqual((plan["batch_tokens"], plan["accumulate"], plan["recompute"],
                          plan["choices"]), (256, 2, False, ""))
        self.assertGreater(plan["tokens_per_s"], 0)
        for limit in (150, 100, 76):
            chosen = self.json("plan", mail, "--memory", f"{limit}M", "--json")["plan"]
            self.assertLessEqual(chosen["total_bytes"], limit * 1.02 * 2**20)
            self.assertNotEqual(chosen["choices"], "")
            self.assertLess(abs(chosen["steps"] - plan["steps"]), plan["steps"] * 0.25)
        self.assertTrue(chosen["recompute"])
        self.assertLess(chosen["context"], plan["context"])
        out = self.fails("plan", mail, "--memory", "40M",
                         says=["MiB at least", "the 40.0 MiB that it may take", "--memory "])[1]
        least = out.split("--memory ")[1].split("M")[0]
        self.json("plan", mail, "--memory", least + "M", "--json")
        self.fails("learn", mail, "--name", "x", "--memory", "40M", says="MiB at least")
        self.assertFalse(os.path.exists(self.path("store", "adapters")))

    def test_learn_in_little_memory(self):
        result = self.json("learn", os.path.join(ROOT, "examples", "mailbox.mbox"), "--name", "x",
                           "--steps", "3", "--memory", "100M", "--samples", "0", "--json")
        self.assertLessEqual(result["plan"]["total_bytes"], 100 << 20)
        self.assert_planned(result["result"]["peak_memory_bytes"], result["plan"]["total_bytes"],
                            "learn in 100 MiB")


if __name__ == "__main__":
    main()
