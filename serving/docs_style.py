"""How the page of an endpoint looks, and its one script, which asks what a visitor typed and shows the answer.

Both lie in the page itself, so that it needs no other host, and its policy names them by their hash.
"""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --ink: light-dark(#1d2733, #e4e9ef);
  --paper: light-dark(#fff, #14181d); --blue: light-dark(#0b57c2, #7db1ff); --green: light-dark(#146c43, #6fd6a0) }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 60rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif }
h1 { margin: 0; font-size: 1.75rem } h1 small { font-weight: 400; opacity: .65 }
h2 { margin: 2.5rem 0 .75rem; font-size: 1.25rem }
a { color: var(--blue) }
table { width: 100%; border-collapse: collapse; font-size: .925rem }
th, td { padding: .35rem 1rem .35rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top }
code, pre, textarea, input { font: .85rem/1.5 ui-monospace, monospace }
td code { overflow-wrap: anywhere }
pre, textarea, input { width: 100%; margin: 0; padding: .6rem .75rem; border: 1px solid var(--line);
  border-radius: .4rem; background: var(--soft); color: inherit }
pre { margin: .5rem 0; max-height: 24rem; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere }
textarea { min-height: 12rem; resize: vertical }
details { margin: .6rem 0; border: 1px solid var(--line); border-radius: .5rem }
details > div { padding: 0 1rem 1rem } details table { margin-top: 1rem }
summary { padding: .6rem 1rem; cursor: pointer }
summary b { display: inline-block; min-width: 3.6rem; color: var(--green) } summary .post { color: var(--blue) }
summary span { opacity: .75; margin-left: .5rem }
button { margin: .6rem 0; padding: .4rem 1.25rem; border: 0; border-radius: .4rem; background: var(--blue);
  color: var(--paper); font: inherit; cursor: pointer }
label { display: block; margin-top: .6rem; font-size: .9rem }
"""

SCRIPT = """
for (const shown of document.querySelectorAll("pre.curl"))
  shown.textContent = shown.textContent.replaceAll("$ENDPOINT", location.origin);
for (const form of document.querySelectorAll("form"))
  form.addEventListener("submit", async event => {
    event.preventDefault();
    const output = form.querySelector("output");
    const headers = {"content-type": "application/json"};
    if (form.elements.token?.value) headers.authorization = "Bearer " + form.elements.token.value;
    output.replaceChildren(document.createElement("pre"));
    const shown = output.firstChild;
    try {
      const answer = await fetch(form.dataset.path, {method: "POST", headers, body: form.elements.body.value});
      const text = await answer.text();
      let said = text;
      try { said = JSON.stringify(JSON.parse(text), null, 2); } catch {}
      shown.textContent = answer.status + " " + answer.statusText + "\\n" + said;
    } catch (error) {
      shown.textContent = String(error);
    }
  });
"""
