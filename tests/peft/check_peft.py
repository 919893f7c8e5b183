"""Does an adapter that weft wrote work in PEFT? Needs torch, transformers, peft, tokenizers.

    python check_peft.py MODEL.gguf ADAPTER_DIR TEXTS.jsonl [--weft build/weft]

Builds transformers' BitNet from the GGUF file (I2_S), loads the adapter with PeftModel.from_pretrained, and
compares the loss of the texts, plain and with the adapter, with what `weft eval` says of the same
files. Rounded activations make two right programs differ by up to 2% (docs/FORMATS.md), so that is the bound;
every tensor of the adapter must have reached its module unchanged. scripts/check_peft installs what is needed.
"""
import argparse, json, struct, subprocess, sys

import torch
import torch.nn.functional as F
from peft import PeftModel
from safetensors.torch import load_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, BitNetConfig
from transformers.integrations.bitnet import ActQuant

SIZES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
NAMES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
         "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
         "attn_sub_norm": "self_attn.attn_sub_norm", "ffn_sub_norm": "mlp.ffn_sub_norm"}
LLAMA_BPE = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
             r"|\s*[\r\n]+|\s+(?!\S)|\s+")


class Gguf:
    """The metadata and tensors of a GGUF file: float32, or (ternary float32, scale) for I2_S."""

    def __init__(self, path):
        self.raw, self.at, self.keys, self.tensors = open(path, "rb").read(), 4, {}, {}
        _, tensor_count, key_count = self.take("I"), self.take("Q"), self.take("Q")
        for _ in range(key_count):
            name = self.text()
            self.keys[name] = self.value(self.take("i"))
        infos = []
        for _ in range(tensor_count):
            name, dims = self.text(), self.take("I")
            shape = [self.take("Q") for _ in range(dims)][::-1]
            infos.append((name, shape, self.take("i"), self.take("Q")))
        align = self.keys.get("general.alignment", 32)
        base = (self.at + align - 1) // align * align
        for name, shape, kind, offset in infos:
            self.tensors[name] = self.tensor(shape, kind, base + offset)

    def take(self, form):
        value = struct.unpack_from("<" + form, self.raw, self.at)[0]
        self.at += struct.calcsize("<" + form)
        return value

    def text(self):
        size = self.take("Q")
        self.at += size
        return self.raw[self.at - size:self.at].decode("utf-8", "surrogateescape")

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            element, count = self.take("i"), self.take("Q")
            return [self.value(element) for _ in range(count)]
        return self.take(SIZES[kind])

    def tensor(self, shape, kind, at):
        count = 1
        for n in shape:
            count *= n
        if kind == 36:
            codes = torch.frombuffer(bytearray(self.raw[at:at + count // 4]), dtype=torch.uint8).view(-1, 1, 32)
            shifts = torch.tensor([6, 4, 2, 0], dtype=torch.uint8).view(1, 4, 1)
            scale = struct.unpack_from("<f", self.raw, at + count // 4)[0]
            return ((codes >> shifts) & 3).float().sub(1).reshape(shape), scale
        size, dtype = {0: (4, torch.float32), 1: (2, torch.float16), 30: (2, torch.bfloat16)}[kind]
        return torch.frombuffer(bytearray(self.raw[at:at + size * count]), dtype=dtype).float().reshape(shape)


class Ternary(torch.nn.Linear):
    """transformers' AutoBitLinear in offline mode: its ActQuant, one scale."""
    scale = 1.0

    def forward(self, x):
        return F.linear(ActQuant.apply(x), self.weight) * self.scale


def build(g):
    arch = g.keys["general.architecture"]
    key = lambda name: g.keys[f"{arch}.{name}"]
    config = BitNetConfig(
        hidden_size=key("embedding_length"), intermediate_size=key("feed_forward_length"),
        num_hidden_layers=key("block_count"), num_attention_heads=key("attention.head_count"),
        num_key_value_heads=key("attention.head_count_kv"), vocab_size=g.tensors["token_embd.weight"].shape[0],
        rms_norm_eps=key("attention.layer_norm_rms_epsilon"), max_position_embeddings=key("context_length"),
        rope_theta=key("rope.freq_base"), rope_parameters={"rope_type": "default", "rope_theta": key("rope.freq_base")},
        tie_word_embeddings=True)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    state = {"model.embed_tokens.weight": g.tensors["token_embd.weight"],
             "model.norm.weight": g.tensors["output_norm.weight"]}
    for name, tensor in g.tensors.items():
        if not name.startswith("blk."):
            continue
        _, layer, part, _ = name.split(".")
        module = f"model.layers.{layer}.{NAMES[part]}"
        if isinstance(tensor, tuple):
            parent = model.get_submodule(module.rsplit(".", 1)[0])
            linear = Ternary(tensor[0].shape[1], tensor[0].shape[0], bias=False)
            linear.scale = tensor[1]
            setattr(parent, module.rsplit(".", 1)[1], linear)
            tensor = tensor[0]
        state[module + ".weight"] = tensor
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all("lm_head" in name for name in missing), (missing, unexpected)
    model.tie_weights()
    return model.eval()


def tokenizer_of(g):
    tokens = g.keys["tokenizer.ggml.tokens"]
    assert g.keys["tokenizer.ggml.pre"] == "llama-bpe"
    merges = [tuple(m.split(" ")) for m in g.keys["tokenizer.ggml.merges"]]
    t = Tokenizer(models.BPE({s: i for i, s in enumerate(tokens)}, merges, ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA_BPE), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    return t


def loss_of(model, rows):
    total, count = 0.0, 0
    with torch.no_grad():
        for ids in rows:
            logits = model(input_ids=torch.tensor([ids])).logits[0].float()
            total += F.cross_entropy(logits[:-1], torch.tensor(ids[1:]), reduction="sum").item()
            count += len(ids) - 1
    return total / count


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model"), p.add_argument("adapter"), p.add_argument("texts")
    p.add_argument("--weft", default="build/weft")
    a = p.parse_args()
    g = Gguf(a.model)
    tok, bos, eos = tokenizer_of(g), g.keys["tokenizer.ggml.bos_token_id"], g.keys["tokenizer.ggml.eos_token_id"]
    rows = [[bos] + tok.encode(json.loads(line)["text"], add_special_tokens=False).ids + [eos] for line in open(a.texts)]
    model = build(g)
    plain = loss_of(model, rows)
    tuned_model = PeftModel.from_pretrained(model, a.adapter).eval()
    state = {k.replace(".default", ""): v for k, v in tuned_model.state_dict().items() if "lora_" in k}
    stored = load_file(a.adapter + "/adapter_model.safetensors")
    same = stored.keys() == state.keys() and all(torch.equal(stored[k], state[k]) for k in stored)
    tuned = loss_of(tuned_model, rows)
    said = json.loads(subprocess.check_output(
        [a.weft, "eval", a.texts, "--model", a.model, "--adapter", a.adapter, "--json"]))
    failed = 0 if same else 1
    print(f"{'ok  ' if same else 'FAIL'} PEFT loaded {len(stored)} tensors, each where it belongs")
    pairs = (("plain", plain, said["results"][0]["loss"]), ("adapter", tuned, said["results"][1]["loss"]))
    for name, peft, weft in pairs:
        error = abs(weft / peft - 1)
        failed += not error <= 0.02
        print(f"{'ok  ' if error <= 0.02 else 'FAIL'} {name}: loss in PEFT {peft:.5f}, in weft {weft:.5f}, {error:.2e} apart")
    failed += not tuned < plain
    print(f"{3 - min(failed, 3)} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
