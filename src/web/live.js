// Keeps the marked parts of a page up to date. Without it, the page loads itself again.
"use strict";

// Changes only what differs, so that buttons and the focus stay.
const update = (old, now) => {
  if (old.isEqualNode(now)) return;
  const isSame = old.nodeType === 1 && old.nodeName === now.nodeName && old.childNodes.length === now.childNodes.length;
  if (!isSame) return old.replaceWith(now);
  for (const name of old.getAttributeNames()) if (!now.hasAttribute(name)) old.removeAttribute(name);
  for (const name of now.getAttributeNames()) old.setAttribute(name, now.getAttribute(name));
  const others = [...now.childNodes];
  [...old.childNodes].forEach((child, at) => update(child, others[at]));
};

for (const part of document.querySelectorAll("[data-live]")) {
  const said = document.getElementById("said");
  let source = null;
  let again = 0;
  const close = () => { clearTimeout(again); if (source) source.close(); source = null; };
  const open = () => {
    if (source) return;
    clearTimeout(again);
    source = new EventSource(part.dataset.live);
    // A browser tries again after a lost connection, but not after a refusal.
    source.onerror = () => {
      if (!source || source.readyState !== 2) return;
      close();
      again = setTimeout(() => { if (!document.hidden) open(); }, 10000);
    };
    source.onmessage = (event) => {
      const news = JSON.parse(event.data);
      const now = new DOMParser().parseFromString(news.html, "text/html").body;
      if (now.childNodes.length === part.childNodes.length) {
        const others = [...now.childNodes];
        [...part.childNodes].forEach((child, at) => update(child, others[at]));
      } else {
        part.replaceChildren(...now.childNodes);
      }
      if (said && said.textContent !== news.say) said.textContent = news.say;
      if (news.ended) {
        close();
        if (part.dataset.then && document.activeElement === document.body) location.reload();
      }
    };
  };
  // A browser opens few connections to one server, so hidden pages give theirs back.
  document.addEventListener("visibilitychange", () => { if (document.hidden) close(); else open(); });
  addEventListener("pagehide", close);
  if (!document.hidden) open();
}
