"""Makes `golden/llama_cpp.json`: logits of llama.cpp itself under control vectors that we wrote, and of folded models.

    python -m venv /tmp/peers && /tmp/peers/bin/pip install torch transformers gguf==0.19.0 xllamacpp==2026.10.11549
    PYTHONPATH=. /tmp/peers/bin/python -m tests.exchange.make_llama_cpp          # needs g++

The wheel of xllamacpp carries llama.cpp with its C interface, and the loader of control vectors (C++, old string ABI).
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import tempfile
from pathlib import Path

import gguf
import numpy as np
import torch
from transformers import LlamaForCausalLM

from multidir.exchange.control_vectors import write_control_vector
from multidir.records.intervention import Dose
from multidir.steer.fold import addition, fold, projection
from tests.exchange.vectors import GOLDEN, LLAMA_IDS, STRENGTH, llama, llama_direction

SHIM = """
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>
struct Params { char bytes[2048]; };  // longer than the real ones: passed on the stack, read from the start
struct Batch { int32_t n; void *a, *b, *c, *d, *e, *f; };
struct common_control_vector_load_info { float strength; std::string fname; };
struct common_control_vector_data { int n_embd; std::vector<float> data; };
common_control_vector_data common_control_vector_load(const std::vector<common_control_vector_load_info> &);
extern "C" {
void llama_backend_init();
void ggml_backend_load_all();
Params llama_model_default_params();
Params llama_context_default_params();
void *llama_model_load_from_file(const char *, Params);
void *llama_init_from_model(void *, Params);
Batch llama_batch_get_one(int32_t *, int32_t);
int32_t llama_decode(void *, Batch);
float *llama_get_logits_ith(void *, int32_t);
int32_t llama_set_adapter_cvec(void *, const float *, size_t, int32_t, int32_t, int32_t);
int run(const char *model, const char *vector, float strength, int32_t *ids, int n, float *out, int vocab) {
    llama_backend_init();
    ggml_backend_load_all();
    void *context = llama_init_from_model(llama_model_load_from_file(model, llama_model_default_params()),
                                          llama_context_default_params());
    if (*vector) {
        auto read = common_control_vector_load({{strength, vector}});
        if (read.n_embd < 0 || llama_set_adapter_cvec(context, read.data.data(), read.data.size(), read.n_embd, 0, 99))
            return 1;
    }
    if (llama_decode(context, llama_batch_get_one(ids, n))) return 2;
    memcpy(out, llama_get_logits_ith(context, -1), vocab * sizeof(float));
    return 0;
}
}
"""

NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def write_model(model: LlamaForCausalLM, path: Path) -> None:
    c, writer = model.config, gguf.GGUFWriter(path, "llama")
    heads = {"attn_q": c.num_attention_heads, "attn_k": c.num_key_value_heads}
    writer.add_block_count(c.num_hidden_layers)
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_head_count(c.num_attention_heads)
    writer.add_head_count_kv(c.num_key_value_heads)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    writer.add_rope_dimension_count(c.hidden_size // c.num_attention_heads)
    writer.add_rope_freq_base(float(c.rope_parameters["rope_theta"]))
    writer.add_vocab_size(c.vocab_size)
    writer.add_tokenizer_model("no_vocab")
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    tops = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
    for ours, theirs in tops.items():
        writer.add_tensor(f"{ours}.weight", weights[f"{theirs}.weight"])
    for n in range(c.num_hidden_layers):
        for ours, theirs in NAMES.items():
            for kind in ("weight", "bias"):
                tensor = weights.get(f"model.layers.{n}.{theirs}.{kind}")
                if tensor is not None and ours in heads:  # llama.cpp turns neighbouring channels, transformers halves
                    shape = (heads[ours], 2, len(tensor) // heads[ours] // 2, *tensor.shape[1:])
                    tensor = np.ascontiguousarray(tensor.reshape(shape).swapaxes(1, 2).reshape(tensor.shape))
                if tensor is not None:
                    writer.add_tensor(f"blk.{n}.{ours}.{kind}", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    import xllamacpp

    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        folder = Path(name)
        (folder / "shim.cpp").write_text(SHIM)
        build = ["g++", "-shared", "-fPIC", "-D_GLIBCXX_USE_CXX11_ABI=0", "shim.cpp", "-o", "shim.so"]
        subprocess.run(build, cwd=folder, check=True)
        ctypes.CDLL(str(Path(xllamacpp.__file__).parent / "xllamacpp.abi3.so"), mode=ctypes.RTLD_GLOBAL)
        shim = ctypes.CDLL(str(folder / "shim.so"))

        def logits(model: LlamaForCausalLM, vector: str = "") -> list[float]:
            write_model(model, folder / "m.gguf")
            out, ids = np.zeros(model.config.vocab_size, np.float32), (ctypes.c_int32 * len(LLAMA_IDS))(*LLAMA_IDS)
            where = out.ctypes.data_as(ctypes.c_void_p)
            strength = ctypes.c_float(STRENGTH)
            files = (str(folder / "m.gguf").encode(), vector.encode())
            assert shim.run(*files, strength, ids, len(LLAMA_IDS), where, len(out)) == 0
            return [round(float(value), 4) for value in out]

        found = {"llama.cpp": f"xllamacpp {xllamacpp.__version__}", "unsteered": logits(llama().model)}
        for n in (1, 2, 3):
            write_control_vector(folder / "v.gguf", [llama_direction(n)])
            found[f"direction.{n}"] = logits(llama().model, str(folder / "v.gguf"))
        added, projected = llama(), llama()
        fold(added, addition(added, [llama_direction(2)], Dose(STRENGTH, "activation")))
        fold(projected, projection(projected, [llama_direction(2)]))
        found |= {"folded addition": logits(added.model), "folded projection": logits(projected.model)}
    (GOLDEN / "llama_cpp.json").write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
