"""Inspect: a task with answers to match, a task with a tool, both through `openai-api/SERVICE/MODEL`."""

import os

os.environ["DESK_BASE_URL"] = os.environ.pop("OPENAI_BASE_URL")
os.environ["DESK_API_KEY"] = os.environ.pop("OPENAI_API_KEY")

from inspect_ai import Task, eval  # noqa: A004 - Inspect's own word
from inspect_ai.dataset import Sample
from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, system_message, use_tools
from inspect_ai.tool import ToolFunction, tool

MODEL = "openai-api/desk/smollm2-135m-q4_1"
CAPITALS = {"France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Japan": "Tokyo"}


@tool
def weather():
    async def execute(city: str) -> str:
        """The weather in a city.

        Args:
            city: The name of the city.
        """
        return f"It rains in {city}."

    return execute


def main() -> None:
    check_answers()
    check_tools()


def check_answers() -> None:
    samples = [Sample(f"What is the capital of {country}?", target=city) for country, city in CAPITALS.items()]
    task = Task(dataset=samples, solver=[system_message("Be brief."), generate()], scorer=includes())
    config = GenerateConfig(temperature=0, max_tokens=24, logprobs=True, top_logprobs=2)
    log = ran(task, config)
    assert log.results.completed_samples == len(CAPITALS)
    assert log.results.scores[0].metrics["accuracy"].value >= 0.5
    for sample in log.samples:
        [choice] = sample.output.choices
        assert choice.logprobs.content[0].top_logprobs
        assert 0 < sample.output.usage.output_tokens <= 24


def check_tools() -> None:
    """Inspect runs what the model calls and tells it the result."""
    task = Task(
        dataset=[Sample("What is the weather in Oslo?", target="rain")],
        solver=[use_tools(weather(), tool_choice=ToolFunction("weather")), generate(tool_calls="single")],
        scorer=includes(),
    )
    log = ran(task, GenerateConfig(temperature=0, max_tokens=80))
    [sample] = log.samples
    [call] = [message for message in sample.messages if message.role == "tool"]
    assert call.function == "weather"
    assert call.text.startswith("It rains in ")


def ran(task: Task, config: GenerateConfig):
    [log] = eval(task, model=get_model(MODEL, config=config), log_dir="logs", display="none")
    assert log.status == "success", log.error
    return log


if __name__ == "__main__":
    main()
