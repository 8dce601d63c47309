// What pages do besides links and forms: signing in, asking experts, and dropping a file. Text from the server or a model
// is only ever set as text.
"use strict";

const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const filled = (text, values) => text.replace(/{(\w+)}/g, (_, name) => values[name]);
const amount = (n, unit, digits) =>
  new Intl.NumberFormat(document.documentElement.lang, {style: "unit", unit, maximumFractionDigits: digits}).format(n);
const time = (ms) => ms < 1000 ? amount(ms, "millisecond", 0) : amount(ms / 1000, "second", 1);

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
    tell(filled(panel.dataset.signedIn, {...known, role: panel.dataset[known.role]}));
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

async function answer(model, text, box, {signal, empty, store}) {
  const started = performance.now();
  box.textContent = "";
  box.className = "answer busy";
  let usage = null, id = null, root = null;
  try {
    const reply = await fetch("/v1/chat/completions", {
      method: "POST", signal, headers: {"Content-Type": "application/json"},
      body: JSON.stringify({model, messages: [{role: "user", content: text}], max_tokens: 512, store,
                            stream: true, stream_options: {include_usage: true}}),
    });
    if (!reply.ok) throw new Error(await message(reply));
    for await (const event of events(reply)) {
      if (event.error) throw new Error(event.error.message);
      box.append(event.choices[0]?.delta.content ?? "");
      usage = event.usage || usage;
      [id, root] = [event.id, event.model];
    }
    if (!box.textContent) box.textContent = empty;
    return {id, root, text, tokens: usage.completion_tokens, ms: performance.now() - started};
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
  const close = (column) => {
    one("[data-judge]", column).hidden = true;
    one("[data-correction]", column).open = false;
    one("[data-judged]", column).textContent = one("[data-right]", column).value = "";
  };
  const ask = async (column, signal) => {
    const told = one("[data-told]", column);
    told.textContent = "";
    close(column);
    const took = await answer(chosen(column).value, text.value, one("[data-answer]", column), {signal, empty: words.empty});
    column.asked = took;
    one("[data-judge]", column).hidden = !took;
    if (took) told.textContent = filled(words.facts, {n: took.tokens, time: time(took.ms)});
    else if (signal.aborted) told.textContent = words.stopped;
  };
  const add = () => {
    const last = columns().at(-1), next = last.cloneNode(true), select = one("[data-expert]", next);
    select.id = `expert-${Date.now()}`;
    one("label", next).htmlFor = select.id;
    select.selectedIndex = (one("[data-expert]", last).selectedIndex + 1) % select.options.length;
    one("[data-answer]", next).textContent = one("[data-told]", next).textContent = "";
    close(next);
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
  form.addEventListener("click", async ({target}) => {
    const column = target.closest("[data-column]");
    if (target.matches("[data-mark]")) judge(column, {boolean: target.value === "good"}, words);
    if (!target.matches("[data-correct-it]")) return;
    const right = one("[data-right]", column);
    if (right.value.trim()) judge(column, {demonstration: right.value}, words);
    else right.focus();
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

// Feedback keeps an answer. One that was not kept when it was given is asked for once more, of the same version.

async function judge(column, said, words) {
  const told = one("[data-judged]", column), box = one("[data-answer]", column), seen = box.textContent;
  told.textContent = words.keeping;
  if (!column.asked.kept && words.keepsAll !== "true") {
    const again = await answer(column.asked.root, column.asked.text, box, {empty: words.empty, store: true});
    if (!again) { told.textContent = ""; return; }
    column.asked = {...again, kept: true};
    if (box.textContent !== seen) { told.textContent = words.changed; return; }
  }
  const reply = await fetch("/v1/feedback", {
    method: "POST", headers: {"Content-Type": "application/json"},
    body: JSON.stringify({answer_id: column.asked.id, ...said}),
  });
  told.textContent = reply.ok ? words.thanks : await message(reply);
  if (reply.ok) one("[data-correction]", column).open = false;
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
    const sides = ["left", "right"], store = one("[data-keep]", form).checked;
    const took = await Promise.all(sides.map((side, n) =>
      answer(pair[n], text, one(`[data-answer=${side}]`), {empty: form.dataset.empty, store})));
    one("[data-send]", form).disabled = false;
    sides.forEach((side, n) => {
      vote.elements[side].value = took[n]?.root ?? "";
      vote.elements[`${side}_answer`].value = store && took[n] ? took[n].id : "";
    });
    vote.hidden = took.includes(null);
  });
  vote.addEventListener("htmx:afterRequest", () => { vote.hidden = true; one("[data-send]", form).focus(); });
  askOnKeys(form);
}

// Reviewing: one key for each decision, while the focus is in an answer and not in a field

const DECISIONS = {k: "[value=accept]", s: "[value=dismiss]"};

function review(list) {
  const items = () => all("[data-item]", list);
  let place = null;
  const focus = (n) => {
    const here = [...list.children].slice(n).find((line) => line.matches("[data-item]"));
    (here ?? items().at(-1) ?? one("[data-next]") ?? one("#queue"))?.focus();
  };
  const write = (correction) => one("input:not([type=hidden]), textarea", correction).focus();
  list.addEventListener("keydown", (event) => {
    const item = event.target.closest("[data-item]"), field = event.target.matches("input, textarea, select");
    if (field && event.key === "Escape") { one("[data-correct]", item).open = false; item.focus(); }
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && field) event.target.form.requestSubmit();
    if (!item || field || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key], pressed = one(DECISIONS[event.key.toLowerCase()] ?? "none", item);
    const correction = event.key.toLowerCase() === "c" && one("[data-correct]", item);
    if (!step && !pressed && !correction) return;
    event.preventDefault();
    if (correction) { correction.open = true; write(correction); }
    else if (step) items()[items().indexOf(item) + step]?.focus();
    else pressed.click();
  });
  list.addEventListener("toggle", ({target}) => { if (target.open) write(target); }, true);
  list.addEventListener("htmx:beforeRequest", ({target}) => { place = [...list.children].indexOf(target.closest("li")); });
  list.addEventListener("htmx:afterSettle", () => { if (place !== null) focus(place); place = null; });
}

// Asking about a database

function copilot(form) {
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    one(event.target.id === "sql" ? "[data-run]" : "[data-ask]", form).click();
  });
  form.addEventListener("input", () => one("#accepted", form)?.replaceChildren());  // it was said of another query
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

one(".top [aria-current]")?.scrollIntoView({block: "nearest", inline: "center"});  // on a telephone the links are wider than it is

const PARTS = {
  "[data-sign-in]": signIn, "[data-playground]": playground, "[data-compare]": compare, "[data-review]": review,
  "[data-copilot]": copilot, "[data-drop]": drop,
};
for (const [selector, begin] of Object.entries(PARTS)) all(selector).forEach(begin);
document.addEventListener("click", async (event) => {
  if (event.target.matches("[data-sign-out]")) { await session("DELETE"); location.assign("/admin"); }
});
document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});
