// Accesses as they come: newest first, bounded, drawn once a frame, held while somebody reads.

import { $, clean, clock, el, empty, number, severity, value } from './dom.js';
import { change, state } from './state.js';

const MOST = 500;
const PER_FRAME = 60;

let rows = [];        // Newest first: what the table shows.
let waiting = [];     // Oldest first: what it does not show yet.
let cut = 0;          // Of those, how many no longer wait.
let paused = false;
let hidden = 0;       // Told of as too many to be sent.
let scheduled = false;
let body, fresh, scroller, note, none;
const byNumber = new Map();

export function build(section) {
  body = el('tbody');
  fresh = el('button', { class: 'fresh', type: 'button', hidden: true, on: { click: resume } });
  note = el('p', { class: 'note', role: 'status' });
  none = empty('No access yet', el('p', null, 'Every request with a credential shows here as soon as it is answered. Try one: '), el('pre', null, 'curl -H "Authorization: Bearer try-me" localhost'), el('p', null, 'Nothing? ', el('code', null, 'bailiwick doctor'), ' says what this kernel allows, ', el('code', null, 'bailiwick coverage'), ' what was not understood.'));
  const head = ['Time', 'Identity', 'Workload', 'Operation', 'Env', 'Answer', 'Finding or duty'];
  scroller = el('div', { class: 'scroll', tabindex: '0', 'aria-label': 'Accesses, newest first' },
    el('table', { class: 'rows' }, el('thead', null, el('tr', null, head.map((text) => el('th', { scope: 'col' }, text)))), body), none);
  section.append(el('div', { class: 'bar' }, el('button', { id: 'pause', type: 'button', on: { click: toggle } }, 'Pause'), fresh, note), scroller);
  scroller.addEventListener('scroll', () => {
    if (scroller.scrollTop < 8 && !paused) schedule();
  }, { passive: true });
}

export function take({ rows: come, not_shown, not_seen }) {
  hidden += not_shown + not_seen;
  for (const row of come) waiting.push(row);
  if (waiting.length > MOST) {
    cut += waiting.length - MOST;
    waiting = waiting.slice(-MOST);
  }
  schedule();
}

export function clear() {
  rows = [];
  waiting = [];
  cut = 0;
  hidden = 0;
  byNumber.clear();
  body.replaceChildren();
  schedule();
}

export function toggle() {
  paused = !paused;
  $('pause').textContent = paused ? 'Go on' : 'Pause';
  $('pause').setAttribute('aria-pressed', String(paused));
  schedule();
}

export function resume() {
  if (paused) toggle();
  scroller.scrollTop = 0;
  schedule();
}

function schedule() {
  if (scheduled) return;
  scheduled = true;
  // Hidden tabs get no frames; what waits there is bounded.
  requestAnimationFrame(draw);
}

export const held = () => paused || scroller.scrollTop >= 8;

function draw() {
  scheduled = false;
  const hold = held();
  if (!hold && waiting.length) {
    // The newest of many at once: nobody reads the others.
    const now = waiting.splice(0, PER_FRAME);
    const fragment = document.createDocumentFragment();
    for (const row of now.reverse()) {
      byNumber.set(String(row.n), row);
      fragment.append(line(row));
    }
    body.prepend(fragment);
    rows = [...now, ...rows];
    while (rows.length > MOST) {
      byNumber.delete(String(rows.pop().n));
      body.lastChild.remove();
    }
    if (waiting.length) schedule();
  }
  if (!hold) cut = 0;
  const count = waiting.length + cut;
  fresh.hidden = !hold || count === 0;
  fresh.textContent = '↑ ' + number(count) + ' new';
  none.hidden = rows.length > 0 || waiting.length > 0;
  if (!none.hidden && state.where.accesses) none.querySelector('h2').textContent = 'No access passes the filter';
  else none.querySelector('h2').textContent = 'No access yet';
  note.textContent = hidden ? number(hidden) + ' more came too fast to be shown one by one; all were judged' : '';
}

function line({ n, workload, access }) {
  const bad = access.findings.length > 0;
  const request = access.request;
  const status = access.response?.status;
  return el('tr', { tabindex: '-1', class: bad ? 'bad' : '', 'data-open': 'access:' + n },
    el('td', { class: 'time', title: clean(access.time, 40) }, clock(access.time)),
    el('td', { 'data-h': 'Identity' }, value('identity', access.identity, { none: 'no credential', most: 40, title: access.credential?.fingerprint })),
    el('td', { 'data-h': 'Workload' }, value(workload.startsWith('peer:') ? null : 'workload', workload, { most: 60 })),
    el('td', { class: 'op', 'data-h': 'Operation' }, value('method', request.method), ' ', value('host', request.host, { most: 60 }), el('span', { class: 'path' }, clean(request.path, 80))),
    el('td', { 'data-h': 'Env' }, value('env', access.environment, { most: 30 })),
    el('td', { 'data-h': 'Answer', class: status >= 400 ? 'warn' : '' }, status ? value('status', status) : el('span', { class: 'none' }, 'none')),
    el('td', { 'data-h': 'Finding' }, bad ? access.findings.map((kind) => [value('finding', kind, { label: '▲ ' + kind }), ' ']) : el('span', { class: 'none' }, access.duties.length ? clean(access.duties.join(', '), 60) : '–')));
}

export const find = (n) => byNumber.get(n);
export const severityOf = severity;
export const show = () => change({ pane: 'accesses' });
