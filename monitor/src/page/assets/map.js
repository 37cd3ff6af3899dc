// Workloads to environments: width by rate, red where something was broken.

import { brief, clean, el, empty, number, svg } from './dom.js';
import { add } from './filters.js';
import { state } from './state.js';
import * as alerts from './alerts.js';

const MOST = 40;
let place, record = null;

export function build(section) {
  place = el('div', { class: 'scroll', tabindex: '0', 'aria-label': 'Map' });
  section.append(place);
  new ResizeObserver(() => draw()).observe(place);
}
export function take(next) {
  record = next;
  draw();
}

function edges() {
  const all = new Map();
  const edge = (workload, environment) => {
    const key = JSON.stringify([workload, environment]);
    if (!all.has(key)) all.set(key, { workload, environment, accesses: 0, broken: 0, alerts: 0 });
    return all.get(key);
  };
  for (const one of record?.edges || []) {
    const known = edge(one.workload, one.environment);
    known.accesses += one.accesses;
    known.broken += one.broken;
  }
  for (const alert of alerts.open()) if (alert.workload) edge(alert.workload, alert.environment || '').alerts += 1;
  return [...all.values()]
    .sort((a, b) => b.broken + b.alerts - (a.broken + a.alerts) || b.accesses - a.accesses);
}

const short = (text, most) => (text.length > most ? '…' + text.slice(1 - most) : text);

export function draw() {
  if (state.pane !== 'map') return;
  const known = edges();
  if (known.length === 0) {
    place.replaceChildren(empty('Nothing moves', el('p', null, 'Edges show what workloads reached which environment in the last minute, and where an alert is open.')));
    return;
  }
  const shown = known.slice(0, MOST);
  const left = [...new Set(shown.map((one) => one.workload))];
  const right = [...new Set(shown.map((one) => one.environment))].sort((a, b) => (a === '') - (b === '') || a.localeCompare(b));
  const width = Math.max(320, Math.min(1200, place.clientWidth - 32));
  const rowHeight = 52;
  const height = Math.max(left.length, right.length) * rowHeight + 40;
  const letters = Math.max(10, Math.floor((width * 0.4) / 7.6));
  const x1 = Math.round(width * 0.44);
  const x2 = Math.round(width * 0.8);
  const y = (all, at) => 40 + (height - 40) * ((at + 0.5) / all.length);
  const seconds = record?.seconds || 60;
  const per = (n) => (n / seconds >= 10 ? number(Math.round(n / seconds)) : (n / seconds).toFixed(1)) + '/s';
  const say = (one) => one.workload + ' → ' + (one.environment || 'no environment') + ': ' + number(one.accesses) + ' in ' + seconds + ' s' + (one.broken ? ', ' + number(one.broken) + ' with a finding' : '') + (one.alerts ? ', ' + one.alerts + ' open alerts' : '');
  const lines = [...shown].reverse().map((one) => {
    const a = y(left, left.indexOf(one.workload));
    const b = y(right, right.indexOf(one.environment));
    const bad = one.broken || one.alerts;
    const thick = Math.min(14, 1.5 + 2 * Math.log2(1 + one.accesses / seconds * 4));
    const middle = (x1 + x2) / 2;
    return svg('g', null,
      svg('path', { d: `M${x1} ${a}C${middle} ${a} ${middle} ${b} ${x2} ${b}`, class: 'edge' + (bad ? ' broken' : '') + (one.accesses ? '' : ' past'), 'stroke-width': thick.toFixed(1) }, svg('title', null, clean(say(one), 300))),
      bad ? svg('text', { x: x1 + (x2 - x1) * 0.25, y: a + (b - a) * 0.16 - 9, class: 'label broken', 'text-anchor': 'middle' }, '▲ ' + (one.broken ? number(one.broken) : one.alerts + ' open')) : '');
  });
  const node = (field, text, x, at, anchor, label) => svg('text', { x, y: at + 4, 'text-anchor': anchor, class: 'node', tabindex: '-1', role: 'button', 'aria-label': 'Its accesses: ' + clean(text || 'no environment'), on: { click: () => text.startsWith('peer:') || add(field, text, false) } }, label, svg('title', null, clean(text || 'no environment', 300)));
  const rate = (workload) => shown.filter((one) => one.workload === workload).reduce((sum, one) => sum + one.accesses, 0);
  place.replaceChildren(
    el('p', { class: 'note' }, 'The last minute, since somebody looks. Red and ▲: findings, or alerts that are open.', record?.beyond ? ' ' + number(record.beyond) + ' accesses of further workloads are not drawn.' : '', known.length > MOST ? ' ' + (known.length - MOST) + ' more edges are in the table.' : ''),
    svg('svg', { viewBox: `0 0 ${width} ${height}`, width, height, class: 'map', role: 'group', 'aria-label': 'Map of workloads and environments; the table below says the same' },
      svg('text', { x: x1 - 10, y: 20, class: 'axis', 'text-anchor': 'end' }, 'Workload'),
      svg('text', { x: x2 + 10, y: 20, class: 'axis' }, 'Environment'),
      lines,
      left.map((text, at) => [svg('circle', { cx: x1, cy: y(left, at), r: 4, class: 'dot' }), node('workload', text, x1 - 10, y(left, at), 'end', short(clean(brief(text), 200), letters)), svg('text', { x: x1 - 10, y: y(left, at) + 18, 'text-anchor': 'end', class: 'axis' }, per(rate(text)))]),
      right.map((text, at) => [svg('circle', { cx: x2, cy: y(right, at), r: 4, class: 'dot' }), node('env', text, x2 + 10, y(right, at), 'start', short(clean(text || 'none', 60), Math.max(6, Math.floor((width * 0.18) / 7.6))))])),
    el('details', null, el('summary', null, 'As a table'),
      el('table', { class: 'plain' }, el('thead', null, el('tr', null, ['Workload', 'Environment', 'In ' + seconds + ' s', 'With a finding', 'Open alerts'].map((text) => el('th', { scope: 'col' }, text)))),
        el('tbody', null, known.slice(0, 200).map((one) => el('tr', { class: one.broken || one.alerts ? 'bad' : '' }, el('td', null, clean(one.workload)), el('td', null, clean(one.environment || 'none')), el('td', { class: 'num' }, number(one.accesses)), el('td', { class: 'num' }, number(one.broken)), el('td', { class: 'num' }, number(one.alerts))))))));
}
