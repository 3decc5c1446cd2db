"""A page that asks a model of `embedllm_hf` which LLM answers a question correctly. No LLM is asked.

The model is the one that the metadata of the card beside this file name, so a copy of the Space for another model
needs another card only. `answer` needs no Gradio.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import metadata_load

from embedllm_hf import Router

CARD = Path(__file__).with_name("README.md")
BEST, NEAREST = ["LLM", "probability", "90% interval"], ["known questions about", "similarity"]
N_BEST = 5
EXAMPLES = ["What is 17 * 23?", "Which sea is nearest to Portugal?", "Why does ice float on water?"]


def model_id() -> str:
    """The model on the Hub."""
    return metadata_load(CARD)["models"][0]


def answer(router: Router, question: str) -> tuple[str, list[list[str]], list[list[str]]]:
    """The chosen LLM in words, the rows of the best, and those of the nearest categories.

    Raises:
        ValueError: If the question is empty.
    """
    decision = router(question, top_k=N_BEST, explain=True)
    best = [[one.llm, f"{one.probability:.1%}", f"{one.low:.1%} to {one.high:.1%}"] for one in decision.ranking]
    _, probability, interval = best[0]
    chosen = f"**{decision.llm}** answers correctly with a probability of {probability} (90% interval {interval})."
    nearest: dict[str, float] = {}
    for known in decision.evidence:  # the nearest first
        nearest.setdefault(known.category, known.similarity)
    return chosen, best, [[category, f"{similarity:.2f}"] for category, similarity in nearest.items()]


def build(router: Router, name: str) -> Any:
    """The page."""
    import gradio as gr

    def respond(question: str) -> tuple[str, list[list[str]], list[list[str]]]:
        try:
            return answer(router, question)
        except ValueError as error:  # the library's errors say what to do
            raise gr.Error(str(error), print_exception=False) from error

    with gr.Blocks(title="EmbedLLM router") as page:
        gr.Markdown(f"# Which LLM should answer?\n\nOf {router.model.config.n_llms} LLMs, by the model `{name}`.")
        question = gr.Textbox(label="Question", lines=3)
        ask = gr.Button("Route", variant="primary")
        chosen = gr.Markdown()
        outputs = [chosen, gr.Dataframe(headers=BEST, label="The five best"), gr.Dataframe(headers=NEAREST)]
        gr.Examples(EXAMPLES, question)
        gr.on([ask.click, question.submit], respond, question, outputs, api_name="route")
    return page


if __name__ == "__main__":
    build(Router.from_pretrained(model_id()), model_id()).launch()
