"""How to cite the method: in the model card and in the `evaluate` modules."""

CITATION = """\
@inproceedings{zhuang2025embedllm,
  title     = {{EmbedLLM}: Learning Compact Representations of Large Language Models},
  author    = {Zhuang, Richard and Wu, Tianhao and Wen, Zhaojin and Li, Andrew and Jiao, Jiantao and
               Ramchandran, Kannan},
  booktitle = {International Conference on Learning Representations},
  year      = {2025},
  url       = {https://arxiv.org/abs/2410.02223}
}
"""
