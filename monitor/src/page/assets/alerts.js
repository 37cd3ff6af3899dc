// Open alerts, folded by identity and kind.

import { $, clean, el, empty, number, RANK, severity, value, when } from './dom.js';
import { change, state } from './state.js';

const alerts = new Map();
const MOST = 300;
let list, bar;
let asked = false;
let passing = null;

export function build(section) {
  bar = el('div', { class: 'bar' });
  list = el('div', { class: 'scroll', tabindex: '0', 'aria-label': 'Alerts' });
  section.append(bar, list);
}

// All of them, and the ids of those that pass the filter; null where there is none.
export function reset(all, ids) {
  asked = true;
  passing = ids ? new Set(ids) : null;
  alerts.clear();
  take(all);
}
export function take(all) {
  for (const alert of all) alerts.set(alert.id, alert);
  // As many as the daemon answers at most; the oldest go.
  if (alerts.size > 1200) {
    const old = [...alerts.values()].sort((a, b) => (a.last_seen < b.last_seen ? -1 : 1)).slice(0, alerts.size - 1000);
    for (const alert of old) alerts.delete(alert.id);
  }
  draw();
}
export const find = (id) => alerts.get(id);
export const marked = (alert) => Boolean(alert.acknowledged) || Boolean(alert.muted_until && new Date(alert.muted_until) > new Date());
export const open = () => [...alerts.values()].filter((alert) => !marked(alert));

export function none() {
  passing = new Set();
  draw();
}
const passes = (alert) => !passing || passing.has(alert.id);

function groups() {
  const folded = new Map();
  for (const alert of alerts.values()) {
    if (!state.all && marked(alert)) continue;
    if (!passes(alert)) continue;
    const key = JSON.stringify([alert.identity, alert.kind]);
    const group = folded.get(key) || { key, alerts: [], count: 0, severity: 'low', first: alert.first_seen, last: alert.last_seen };
    group.alerts.push(alert);
    group.count += alert.count;
    if (RANK[alert.severity] > RANK[group.severity]) group.severity = alert.severity;
    if (alert.first_seen < group.first) group.first = alert.first_seen;
    if (alert.last_seen > group.last) group.last = alert.last_seen;
    folded.set(key, group);
  }
  return [...folded.values()].sort((a, b) => RANK[b.severity] - RANK[a.severity] || (a.last < b.last ? 1 : -1));
}

// Alerts of the same identity and kind, the newest first.
export function together(id) {
  const one = alerts.get(id);
  if (!one) return [];
  const same = [...alerts.values()].filter((alert) => alert.identity === one.identity && alert.kind === one.kind);
  return same.sort((a, b) => (a.last_seen < b.last_seen ? 1 : -1));
}

let scheduled = false;
export function draw() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    paint();
  });
}

function paint() {
  const count = open().length;
  $('count-alerts').textContent = count ? number(count) : '';
  document.title = count ? '(' + count + ') Bailiwick' : 'Bailiwick';
  const quiet = alerts.size - count;
  bar.replaceChildren(
    el('span', { class: 'note' }, number(count) + ' open'),
    quiet ? el('label', null, el('input', { type: 'checkbox', id: 'show-all', checked: state.all, on: { change: (event) => change({ all: event.target.checked }) } }), ' show ' + number(quiet) + ' acknowledged or muted') : '');
  const all = groups();
  if (all.length === 0) {
    list.replaceChildren(!asked ? empty('Asking the monitor …') : state.where.alerts && alerts.size
      ? empty('No alert passes the filter')
      : quiet && !state.all ? empty('Nothing is open', el('p', null, 'All alerts are acknowledged or muted.'))
      : empty('No alert', el('p', null, 'No credential has left its bailiwick. Without a policy only the checks that need none speak: '), el('pre', null, 'bailiwick learn --out policy.toml'), el('p', null, 'proposes one of what was seen.')));
    return;
  }
  const had = document.activeElement?.dataset?.open;
  list.replaceChildren(
    el('table', { class: 'rows alerts' },
      el('thead', null, el('tr', null, ['Severity', 'What', 'Identity', 'Workload', 'Times', 'First', 'Last'].map((text) => el('th', { scope: 'col' }, text)))),
      el('tbody', null, all.slice(0, MOST).map(line))),
    all.length > MOST ? el('p', { class: 'note' }, number(all.length - MOST) + ' more: filter for them') : '');
  if (had) list.querySelector('[data-open="' + CSS.escape(had) + '"]')?.focus();
}

function line(group) {
  const newest = group.alerts.reduce((a, b) => (a.last_seen >= b.last_seen ? a : b));
  const workloads = [...new Set(group.alerts.map((alert) => alert.workload).filter(Boolean))];
  const quiet = group.alerts.every(marked);
  return el('tr', { tabindex: '-1', 'data-open': 'alert:' + newest.id, class: quiet ? 'quiet' : '' },
    el('td', null, severity(group.severity)),
    el('td', { class: 'what' }, el('strong', null, value('finding', newest.kind)), ' ', el('span', { class: 'title' }, clean(newest.title, 200)),
      group.alerts.length > 1 ? el('span', { class: 'none' }, ' + ' + number(group.alerts.length - 1) + ' like it') : '',
      newest.acknowledged ? el('span', { class: 'tag' }, '✓ acknowledged') : newest.muted_until && marked(newest) ? el('span', { class: 'tag' }, '⏸ muted') : ''),
    el('td', { 'data-h': 'Identity' }, value('identity', newest.identity, { none: 'none', most: 40 })),
    el('td', { 'data-h': 'Workload' }, workloads.length ? [value(workloads[0].startsWith('peer:') ? null : 'workload', workloads[0], { most: 50 }), workloads.length > 1 ? el('span', { class: 'none' }, ' + ' + (workloads.length - 1)) : ''] : el('span', { class: 'none' }, '–')),
    el('td', { class: 'num', 'data-h': 'Times' }, number(group.count)),
    el('td', { class: 'time', 'data-h': 'First' }, when(group.first)),
    el('td', { class: 'time', 'data-h': 'Last' }, when(group.last)));
}
