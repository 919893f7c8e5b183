"""weft bench from outside: a tiny random model, what is printed, what is refused."""
from weft_case import MODEL, WeftCase, main

TINY = ["bench", "--shape", "128,2,4,2,256,512", "--seconds", "0", "--prompt", "4", "--decode",
        "4", "--prefill", "16", "--rows", "16", "--rank", "2"]


class Bench(WeftCase):
    def test_json(self):
        result = self.json(*TINY, "--json")
        self.assertEqual(result["shape"], {"hidden": 128, "layers": 2, "heads": 4, "kv_heads": 2,
                                           "ffn": 256, "vocab": 512})
        machine = result["machine"]
        for name in ("read_bytes_per_s", "int8_ops_per_s", "int16_ops_per_s", "f32_ops_per_s"):
            self.assertGreater(machine[name], 0)
        for name in ("decode", "prefill", "train", "train_kept"):
            speed = result[name]
            self.assertGreater(speed["tokens_per_s"], 0)
            self.assertAlmostEqual(speed["share"],
                                   speed["tokens_per_s"] / speed["limit_tokens_per_s"], 6)
            self.assertGreater(speed["peak_bytes"], 100 << 10)
        self.assertGreater(result["train"]["plan_bytes"], 0)
        self.assertEqual(result["train"]["limit_tokens_per_s"],
                         result["train_kept"]["limit_tokens_per_s"])

    def test_only(self):
        result = self.json(*TINY, "--json", "--only", "train,decode", "--recompute", "off")
        self.assertIsNone(result["prefill"])
        self.assertIsNotNone(result["decode"])
        self.assertEqual(result["train"], result["train_kept"])

    def test_table(self):
        out, _ = self.weft(*TINY, "--threads", "1", "--cpu-mask", "0")
        for text in ("scalar", "1 thread", "share", "decode 4", "prefill 16", "train, layers twice",
                     "train, all kept", "plan"):
            self.assertIn(text, out)

    def test_model_file(self):
        result = self.json("bench", "--json", "--only", "decode", "--seconds", "0", "--decode", "2")
        self.assertEqual(result["shape"]["hidden"], 512)

    def test_refusals(self):
        self.fails("bench", "--shape", "125k", says=("125k", "six numbers"))
        self.fails("bench", "--shape", "128,2,4,2,256", says="six numbers")
        self.fails("bench", "--shape", "128,2,4,3,256,512", says="4 attention heads")
        self.fails("bench", "--shape", "128,2,4,2,256,512", "--model", MODEL, says="not both")
        self.fails("bench", "--only", "decode,fly", says="decode,fly")
        self.fails("bench", "--device", "vulkan", says="vulkan")
        self.fails("bench", "--shape", "125m", "--device", "gpu:99", says="gpu:99")
        self.fails(*TINY, "--only", "prefill", "--prefill", "5000", says="4096")
        self.fails("bench", "extra", code=2, says="extra")


if __name__ == "__main__":
    main()
