// Identities: what they may do, what they did, and their week.

import { clean, el, empty, number, svg, value, when } from './dom.js';
import { state } from './state.js';
import * as policy from './matrix.js';

const MOST = 200;
const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];
let list;
let identities = [];
let more = 0;
let asked = false;
let passing = null;

export function build(section) {
  list = el('div', { class: 'scroll', tabindex: '0', 'aria-label': 'Identities' });
  section.append(list);
}
export function take(answer) {
  asked = true;
  identities = answer.identities;
  more = answer.more;
  passing = state.where.identities ? new Set(answer.passing) : null;
  draw();
}
export const all = () => identities;

export function none() {
  passing = new Set();
  draw();
}
const passes = (one) => !passing || passing.has(one.identity);

export function draw() {
  if (state.pane !== 'identities') return;
  const kept = identities.filter(passes);
  if (kept.length === 0) {
    list.replaceChildren(!asked ? empty('Asking the monitor …') : empty(identities.length ? 'No identity passes the filter' : 'No credential was seen yet', identities.length ? '' : el('p', null, 'An identity shows here within a second of its first use.')));
    return;
  }
  list.replaceChildren(el('div', { class: 'cards' }, kept.slice(0, MOST).map(card)),
    kept.length > MOST || more ? el('p', { class: 'note' }, number(kept.length - Math.min(kept.length, MOST) + more) + ' more: filter for them') : '');
}

function card(one) {
  const granted = policy.granted().get(one.identity);
  const used = new Map((one.usage?.duties || []).map((duty) => [duty.duty, duty]));
  const findings = Object.entries(one.findings);
  const listed = (field, items) => (items.items.length
    ? [items.items.slice(0, 3).map((text) => [value(text.startsWith('peer:') ? null : field, text, { most: 48 }), ' ']), items.items.length > 3 || items.more ? el('span', { class: 'none' }, '+ ' + number(items.items.length - Math.min(3, items.items.length) + items.more)) : '']
    : el('span', { class: 'none' }, '–'));
  return el('article', { class: 'card' + (findings.length ? ' bad' : ''), tabindex: '-1' },
    el('h3', null, value('identity', one.identity, { most: 44 }), one.owner ? el('span', { class: 'none' }, ' of ' + clean(one.owner, 40)) : '', granted?.canary ? [' ', el('span', { class: 'tag bad' }, 'canary')] : ''),
    findings.length ? el('p', null, findings.map(([kind, count]) => [el('span', { class: 'tag bad' }, '▲ ' + clean(kind) + ' ×' + number(count)), ' '])) : '',
    el('dl', { class: 'pairs' },
      el('div', null, el('dt', null, 'Workloads'), el('dd', null, listed('workload', one.workloads))),
      el('div', null, el('dt', null, 'Environments'), el('dd', null, listed('env', one.environments))),
      el('div', null, el('dt', null, 'Accesses'), el('dd', null, number(one.accesses), one.refused ? el('span', { class: 'warn' }, ', ' + number(one.refused) + ' refused') : '', ', last ', when(one.last_seen || one.last_refused)))),
    duties(granted, used),
    week(one.baseline));
}

function duties(granted, used) {
  if (!granted) return el('p', { class: 'none' }, 'No policy names it: nothing is granted.');
  if (granted.duties.length === 0) return el('p', { class: 'none' }, 'Holds no duty.');
  const count = granted.duties.filter((duty) => used.has(duty)).length;
  return el('div', { class: 'duties' },
    el('p', null, count + ' of ' + granted.duties.length + ' duties used'),
    el('ul', null, granted.duties.map((duty) => {
      const use = used.get(duty);
      return el('li', { class: use ? 'used' : 'unused' }, el('span', { 'aria-hidden': 'true' }, use ? '● ' : '○ '), clean(duty, 40), el('span', { class: 'none' }, use ? ' ' + number(use.count) + ' on ' + use.days + (use.days === 1 ? ' day' : ' days') : ' granted, never used'));
    })));
}

// Hours of the week (UTC), Monday first: the darker, the more often active.
function week(standing) {
  if (!standing) return el('p', { class: 'none' }, 'Nothing is learnt of it.');
  const state = standing.mature ? 'mature' : 'learning' + (standing.waits_for ? ', waits for ' + clean(standing.waits_for, 60) : '');
  const hours = standing.week || [];
  const most = Math.max(1, ...hours);
  const busy = DAYS.map((day, at) => [day, hours.slice(at * 24, at * 24 + 24).reduce((sum, n) => sum + n, 0)]).filter(([, n]) => n).map(([day]) => day);
  if (busy.length === 0) return el('p', { class: 'none' }, 'Its week: no hour is learnt yet · ' + state);
  const cells = [];
  hours.forEach((n, at) => {
    if (n) cells.push(svg('rect', { x: 26 + (at % 24) * 7, y: Math.floor(at / 24) * 9, width: 6, height: 8, class: 'heat', 'fill-opacity': (0.25 + 0.75 * Math.sqrt(n / most)).toFixed(2) }));
  });
  return el('figure', { class: 'week' },
    svg('svg', { viewBox: '0 0 194 72', role: 'img', 'aria-label': 'Its week: active on ' + (busy.join(', ') || 'no day yet') },
      DAYS.map((day, at) => [svg('text', { x: 0, y: at * 9 + 7, class: 'axis' }, day), svg('rect', { x: 26, y: at * 9, width: 167, height: 8, class: 'lane' })]),
      cells,
      [0, 6, 12, 18].map((hour) => svg('text', { x: 26 + hour * 7, y: 71, class: 'axis' }, String(hour).padStart(2, '0')))),
    el('figcaption', null, 'Its week, hours in UTC · ' + state));
}
