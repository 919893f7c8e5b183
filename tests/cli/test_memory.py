"""The peak of resident memory of training runs is what the plan had said, within 5%."""
import os

from weft_case import ROOT, WeftCase, main


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


if __name__ == "__main__":
    main()
