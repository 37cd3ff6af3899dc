// Elements from text. Nothing here, or anywhere on the page, makes markup of text.

const SVG = 'http://www.w3.org/2000/svg';

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'on') {
      for (const [event, call] of Object.entries(value)) node.addEventListener(event, call);
    } else {
      node.setAttribute(name, value === true ? '' : String(value));
    }
  }
  for (const child of children.flat(3)) {
    if (child === null || child === undefined || child === false || child === '') continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

export const el = (tag, attributes, ...children) =>
  fill(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);
export const $ = (id) => document.getElementById(id);

// Control characters and what turns the direction of text are shown as what they are; long texts are cut.
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
export function clean(text, most = 160) {
  let shown = String(text ?? '');
  const whole = shown.length;
  if (whole > most) shown = shown.slice(0, most);
  shown = shown.replace(HIDDEN, (c) => '⟨U+' + c.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0') + '⟩');
  return whole > most ? shown + '… (' + whole + ' characters)' : shown;
}

// Names that are long by nature, shortened where they say least; the whole name is the title.
export function brief(text) {
  if (/^bw1:[0-9a-f]{20,}$/.test(text)) return text.slice(0, 16) + '…';
  const path = /^exe:.*\/([^/]+)$/.exec(text);
  if (path && text.length > 26) return 'exe:…/' + path[1];
  return /^container:[0-9a-f]{20,}$/.test(text) ? text.slice(0, 22) + '…' : text;
}

// A value that can be clicked to filter for it.
export function value(field, text, options = {}) {
  if (text === null || text === undefined || text === '') return el('span', { class: 'none' }, options.none || '–');
  const shown = clean(options.label ?? brief(String(text)), options.most);
  if (String(text).length > 512 || !field) return el('span', null, shown);
  return el('button', { class: 'v', type: 'button', tabindex: '-1', 'data-field': field, 'data-value': text, title: clean(options.title ?? text, 300) }, shown);
}

const two = (n) => String(n).padStart(2, '0');
export function clock(time) {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return clean(time);
  const at = two(date.getHours()) + ':' + two(date.getMinutes()) + ':' + two(date.getSeconds());
  if (Date.now() - date.getTime() < 12 * 3600e3) return at;
  return date.getFullYear() + '-' + two(date.getMonth() + 1) + '-' + two(date.getDate()) + ' ' + at;
}
export const when = (time) => (time ? el('time', { datetime: clean(time, 40), title: clean(time, 40) }, clock(time)) : el('span', { class: 'none' }, 'never'));

export function ago(seconds) {
  if (seconds < 60) return Math.round(seconds) + ' s';
  if (seconds < 3600) return Math.round(seconds / 60) + ' min';
  if (seconds < 86400) return Math.round(seconds / 3600) + ' h';
  return Math.round(seconds / 86400) + ' d';
}
export const number = (n) => Number(n || 0).toLocaleString('en');
export function bytes(n) {
  if (n < 1024) return n + ' B';
  if (n < 1 << 20) return (n / 1024).toFixed(0) + ' KiB';
  if (n < 1 << 30) return (n / (1 << 20)).toFixed(1) + ' MiB';
  return (n / (1 << 30)).toFixed(1) + ' GiB';
}

// By word and glyph, not by colour alone.
export const RANK = { low: 0, medium: 1, high: 2, critical: 3 };
const GLYPH = { low: '○', medium: '◆', high: '▲', critical: '‼' };
export const severity = (word) =>
  el('span', { class: 'sev sev-' + (word in GLYPH ? word : 'low') }, el('span', { 'aria-hidden': 'true' }, GLYPH[word] || '·'), ' ', word);

export function replace(node, ...children) {
  node.replaceChildren(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false && child !== ''));
}

let timer = null;
export function say(text) {
  const node = $('said');
  node.textContent = text;
  node.classList.add('on');
  clearTimeout(timer);
  timer = setTimeout(() => node.classList.remove('on'), 4000);
}

export const empty = (title, ...more) => el('div', { class: 'empty' }, el('h2', null, title), more);
