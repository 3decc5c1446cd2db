"""Makes the data set that the package brings, `embedllm_hf/data/open-llm-responses`, and measures what it is worth.

python -m scripts.embedded --open_llm_responses D --kor_bench K             # makes the folder
python -m scripts.embedded.measure --open_llm_responses D --kor_bench K     # one pool or two, a byte or two a number

build     two data sets, LLM names brought together, texts withheld, text vectors rounded
measure   what that costs or brings, by cross-validation
llms.csv  the LLMs, what else they are called in the sources, why that is one LLM, and facts; reviewed by hand
"""
