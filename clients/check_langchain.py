"""langchain-openai: chat models whole, streamed and in batches, structured output, tools, embeddings."""

import os
from typing import Literal

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

BASE = "smollm2-135m-q4_1"
TURNS = [SystemMessage("Be brief."), HumanMessage("What is the capital of France?")]


class Mood(BaseModel):
    """How somebody feels."""

    mood: Literal["glad", "sad"]


@tool
def weather(city: Literal["Oslo", "Bandung"]) -> str:
    """The weather in a city."""
    return "rain"


def main() -> None:
    model = ChatOpenAI(model=BASE, temperature=0, max_tokens=16)
    check_answers(model)
    assert model.with_structured_output(Mood).invoke("I won!").mood in ("glad", "sad")
    check_tools(model)
    check_embeddings()
    assert os.environ["OPENAI_API_KEY"] not in repr(model)


def check_answers(model: ChatOpenAI) -> None:
    whole = model.invoke(TURNS)
    assert isinstance(whole, AIMessage)
    assert whole.text
    assert whole.usage_metadata["output_tokens"] <= 16
    assert whole.response_metadata["model_name"] == BASE
    chunks = list(model.stream(TURNS, stream_usage=True))
    assert "".join(chunk.text for chunk in chunks) == whole.text
    assert [answer.text for answer in model.batch([TURNS] * 4)] == [whole.text] * 4


def check_tools(model: ChatOpenAI) -> None:
    asking = ChatOpenAI(model=BASE, temperature=0, max_tokens=80).bind_tools([weather], tool_choice="weather")
    called = asking.invoke("What is the weather in Oslo?")
    [call] = called.tool_calls
    assert call["name"] == "weather"
    assert call["args"]["city"] in ("Oslo", "Bandung")
    result = ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])
    assert model.invoke([HumanMessage("What is the weather in Oslo?"), called, result]).text


def check_embeddings() -> None:
    """Unless told otherwise LangChain sends token ids, of OpenAI's tokenizer."""
    embeddings = OpenAIEmbeddings(model="text-embedding-3-small", check_embedding_ctx_length=False)
    vectors = embeddings.embed_documents(["a small dog", "the tax return"])
    question = embeddings.embed_query("a little puppy")
    dog, tax = (sum(a * b for a, b in zip(vector, question, strict=True)) for vector in vectors)
    assert dog > tax


if __name__ == "__main__":
    main()
