// What pages do besides links and forms: signing in, asking experts, and dropping a file. Text from the server or a model
// is only ever set as text.
"use strict";

const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const filled = (text, values) => text.replace(/{(\w+)}/g, (_, name) => values[name]);
const time = (ms) => ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;

async function message(reply) {
  try { return (await reply.json()).error.message; } catch { return `${reply.status} ${reply.statusText}`; }
}

// Signing in and out

const session = (method, body) =>
  fetch("/v1/session", {method, headers: {"Content-Type": "application/json"}, body: body && JSON.stringify(body)});

function signIn(panel) {
  const tell = (text) => { one("[data-told]", panel).textContent = text; };
  const open = async (credentials) => {
    const reply = await session("POST", credentials);
    if (!reply.ok) return tell(await message(reply));
    if (location.pathname !== "/admin") return location.reload();
    return welcome(await reply.json());
  };
  const welcome = (known) => {
    tell(filled(panel.dataset.signedIn, known));
    one("[data-key]", panel).hidden = true;
    one("[data-on]", panel).hidden = false;
    one("[data-on] a", panel).focus();
  };
  one("[data-key]", panel).addEventListener("submit", (event) => {
    event.preventDefault();
    open({key: one("#key").value});
    one("#key").value = "";
  });
  const code = location.hash.slice(1);
  if (!code || location.pathname !== "/admin") return;
  history.replaceState(null, "", location.pathname);  // the code is good once, and stays in no history
  open({code});
}

// Asking: the answer of one expert, as it comes

async function answer(model, text, box, {signal, empty}) {
  const started = performance.now();
  box.textContent = "";
  box.className = "answer busy";
  let usage = null;
  try {
    const reply = await fetch("/v1/chat/completions", {
      method: "POST", signal, headers: {"Content-Type": "application/json"},
      body: JSON.stringify({model, messages: [{role: "user", content: text}], max_tokens: 512,
                            stream: true, stream_options: {include_usage: true}}),
    });
    if (!reply.ok) throw new Error(await message(reply));
    for await (const event of events(reply)) {
      if (event.error) throw new Error(event.error.message);
      box.append(event.choices[0]?.delta.content ?? "");
      usage = event.usage || usage;
    }
    if (!box.textContent) box.textContent = empty;
    return {tokens: usage.completion_tokens, ms: performance.now() - started};
  } catch (error) {
    if (error.name !== "AbortError") { box.textContent = error.message; box.classList.add("wrong"); }
    return null;
  } finally {
    box.classList.remove("busy");
  }
}

async function* events(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const {value, done} = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts)
      if (part.startsWith("data: ") && part !== "data: [DONE]") yield JSON.parse(part.slice(6));
  }
}

function askOnKeys(form) {
  one("textarea", form).addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); form.requestSubmit(); }
  });
}

function playground(form) {
  const text = one("#input", form), words = form.dataset;
  let running = null;
  const columns = () => all("[data-column]", form);
  const chosen = (column) => one("[data-expert]", column).selectedOptions[0];
  const show = () => {
    for (const column of columns()) one("[data-about]", column).textContent = chosen(column).dataset.description ?? "";
    for (const button of all("[data-remove]", form)) button.hidden = columns().length < 2;
    one("[data-add]", form).hidden = columns().length >= Number(words.columnsMax);
    one("[data-fill]", form).hidden = !chosen(columns()[0]).dataset.example;
  };
  const ask = async (column, signal) => {
    const told = one("[data-told]", column);
    told.textContent = "";
    const took = await answer(chosen(column).value, text.value, one("[data-answer]", column), {signal, empty: words.empty});
    if (took) told.textContent = filled(words.facts, {n: took.tokens, time: time(took.ms)});
    else if (signal.aborted) told.textContent = words.stopped;
  };
  const add = () => {
    const last = columns().at(-1), next = last.cloneNode(true), select = one("[data-expert]", next);
    select.id = `expert-${Date.now()}`;
    one("label", next).htmlFor = select.id;
    select.selectedIndex = (one("[data-expert]", last).selectedIndex + 1) % select.options.length;
    one("[data-answer]", next).textContent = one("[data-told]", next).textContent = "";
    last.after(next);
    show();
    select.focus();
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (running || !text.value.trim()) return;
    running = new AbortController();
    one("[data-send]", form).disabled = true;
    one("[data-stop]", form).hidden = false;
    await Promise.all(columns().map((column) => ask(column, running.signal)));
    running = null;
    one("[data-send]", form).disabled = false;
    one("[data-stop]", form).hidden = true;
  });
  form.addEventListener("change", show);
  form.addEventListener("click", (event) => {
    if (!event.target.matches("[data-remove]")) return;
    event.target.closest("[data-column]").remove();
    show();
    one("[data-add]", form).focus();
  });
  one("[data-add]", form).addEventListener("click", add);
  one("[data-stop]", form).addEventListener("click", () => running?.abort());
  one("[data-fill]", form).addEventListener("click", () => { text.value = chosen(columns()[0]).dataset.example; text.focus(); });
  askOnKeys(form);
  show();
}

function compare(form) {
  const vote = one("[data-vote]"), answers = one("[data-answers]"), problem = one("[data-problem]", form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const pair = all("[data-expert]", form).map((select) => select.value), text = one("#input", form).value;
    problem.hidden = pair[0] !== pair[1];
    problem.textContent = problem.hidden ? "" : form.dataset.same;
    if (!problem.hidden || !text.trim()) return;
    if (crypto.getRandomValues(new Uint8Array(1))[0] % 2) pair.reverse();
    one("#tally").replaceChildren();
    vote.hidden = true;
    answers.hidden = false;
    one("[data-send]", form).disabled = true;
    const sides = ["left", "right"];
    const took = await Promise.all(sides.map((side, n) =>
      answer(pair[n], text, one(`[data-answer=${side}]`), {empty: form.dataset.empty})));
    one("[data-send]", form).disabled = false;
    sides.forEach((side, n) => { vote.elements[side].value = pair[n]; });
    vote.hidden = took.includes(null);
  });
  vote.addEventListener("htmx:afterRequest", () => { vote.hidden = true; });
  askOnKeys(form);
}

// Asking about a database

function copilot(form) {
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    one(event.target.id === "sql" ? "[data-run]" : "[data-ask]", form).click();
  });
}

// Dropping a file

function drop(zone) {
  const input = one("input[type=file]", zone);
  const over = (on) => (event) => { event.preventDefault(); zone.classList.toggle("over", on); };
  zone.addEventListener("dragover", over(true));
  zone.addEventListener("dragleave", over(false));
  zone.addEventListener("drop", (event) => {
    over(false)(event);
    if (!event.dataTransfer.files.length) return;
    input.files = event.dataTransfer.files;
    input.dispatchEvent(new Event("change", {bubbles: true}));
  });
}

const PARTS = {
  "[data-sign-in]": signIn, "[data-playground]": playground, "[data-compare]": compare, "[data-copilot]": copilot,
  "[data-drop]": drop,
};
for (const [selector, begin] of Object.entries(PARTS)) all(selector).forEach(begin);
document.addEventListener("click", async (event) => {
  if (event.target.matches("[data-sign-out]")) { await session("DELETE"); location.assign("/admin"); }
});
document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});
