// One alert as a story, or one access with all that is known of it.

import { $, clean, el, number, severity, value, when, say } from './dom.js';
import { change, state } from './state.js';
import { clauseOf, copy } from './copy.js';
import { all, command, condition } from './filters.js';
import { get, post, Refused } from './link.js';
import * as alerts from './alerts.js';
import * as live from './live.js';
import * as policy from './matrix.js';

let opener = null;
let shown = null;
let told = null;
let marked = '';

export function openFor(what, from) {
  opener = from || document.activeElement;
  change({ detail: what });
}
export function close() {
  if (!state.detail) return false;
  change({ detail: null });
  if (opener?.isConnected) opener.focus();
  return true;
}

export async function draw() {
  const pane = $('detail');
  pane.hidden = !state.detail;
  document.body.classList.toggle('with-detail', Boolean(state.detail));
  if (!state.detail) {
    shown = null;
    return;
  }
  if (shown === state.detail) return;
  shown = state.detail;
  const [kind, id] = state.detail.split(/:([^]*)/);
  if (kind === 'access') return frame('Access', accessBody(id));
  if (kind !== 'alert') return frame('Nothing', el('p', null, 'There is no such thing.'));
  frame('Alert', el('p', { class: 'none' }, 'Asking …'));
  try {
    const story = await get('explain?id=' + encodeURIComponent(id));
    if (shown === state.detail) tellStory(story);
  } catch (error) {
    if (error instanceof Refused) return;
    if (shown === state.detail) frame('Alert', el('p', null, clean(error.message, 300)));
  }
}
function tellStory(story) {
  told = story;
  marked = markOf(story.id);
  frame(null, storyBody(story), story);
}
const markOf = (id) => {
  const alert = alerts.find(id);
  return alert ? JSON.stringify([alert.acknowledged, alert.muted_until]) : '';
};
// Alerts came in: the one that is shown may be marked now, or known only now.
export function refresh() {
  if (told && shown === 'alert:' + told.id && marked !== markOf(told.id)) tellStory(told);
}
export function again() {
  shown = null;
  draw();
}

function frame(title, body, story) {
  const head = story ? el('h2', null, severity(story.severity), ' ', clean(story.kind)) : el('h2', null, title);
  $('detail').replaceChildren(
    el('div', { class: 'detail-head' }, head, el('button', { type: 'button', id: 'detail-close', 'aria-label': 'Close (Escape)', on: { click: close } }, '✕')),
    ...[body].flat(2));
  $('detail').scrollTop = 0;
}

const part = (title, ...body) => el('section', null, el('h3', null, title), body);
const pairs = (...all) => el('dl', { class: 'pairs' }, all.filter((pair) => pair && pair[1] !== null && pair[1] !== undefined && pair[1] !== '').map(([name, text]) => el('div', null, el('dt', null, name), el('dd', null, text))));

function event(one) {
  return el('li', null, when(one.time), ' ', clean(one.operation, 300), one.status ? ' → ' + one.status : '', one.environment ? el('span', { class: 'tag' }, clean(one.environment, 30)) : '');
}

// Processes of the same program and descent are one place.
function places(all) {
  const found = new Map();
  for (const from of all) {
    const key = JSON.stringify([from.workload, from.exe, from.user, from.lineage, from.peer]);
    if (!found.has(key)) found.set(key, { ...from, pids: [] });
    if (from.pid) found.get(key).pids.push(from.pid);
  }
  return [...found.values()];
}

function storyBody(story) {
  const alert = alerts.find(story.id);
  const others = alerts.together(story.id).filter((other) => other.id !== story.id);
  return [
    el('p', { class: 'lead' }, clean(story.title, 400)),
    alert ? marks(alert) : '',
    actions(story, alert),
    part('What',
      el('p', null, number(story.count) + (story.count === 1 ? ' time, ' : ' times, from '), when(story.first_seen), story.count === 1 ? '' : [' to ', when(story.last_seen)]),
      el('ul', { class: 'events' }, story.happened.slice(-6).map(event)),
      story.not_kept ? el('p', { class: 'none' }, number(story.not_kept) + ' more were only counted') : ''),
    part('Who',
      pairs(
        ['Identity', value('identity', story.who.identity, { none: 'none', most: 80 })],
        ['Owner', story.who.owner && clean(story.who.owner)],
        ['Credential', story.who.credential && clean(story.who.credential.kind + ' ' + story.who.credential.fingerprint)],
        ['Known by', clean(story.who.identified, 300)],
        ['Policy', story.who.place && el('code', null, clean(story.who.place))]),
      places(story.from).map((from) => pairs(
        ['Workload', from.workload ? value(from.workload.startsWith('peer:') ? null : 'workload', from.workload, { most: 80 }) : 'elsewhere'],
        ['Program', from.exe && clean(from.exe) + (from.pids.length ? (from.pids.length === 1 ? ' (process ' : ' (processes ') + from.pids.slice(0, 5).join(', ') + (from.pids.length > 5 ? ' …' : '') + ', user ' + clean(from.user) + ')' : '')],
        ['Started by', from.lineage.length ? clean(from.lineage.join(' ← '), 400) : null],
        ['Other end', from.peer && clean(from.peer)]))),
    part('Usual against seen',
      el('div', { class: 'versus' },
        el('div', null, el('h4', null, 'Usual'), el('p', null, clean(story.normal.words, 500))),
        el('div', { class: 'seen' }, el('h4', null, 'Seen'), [...new Set(story.happened.map((one) => one.operation + (one.environment ? ' (' + one.environment + ')' : '')))].slice(0, 4).map((text) => el('p', null, clean(text, 300))))),
      el('pre', null, clean(story.normal.clause, 600)),
      story.normal.place ? el('p', { class: 'none' }, clean(story.normal.place)) : ''),
    part('Why it matters', el('p', null, clean(story.meaning.words, 800)),
      el('ul', { class: 'tags' }, story.meaning.references.map((ref) => el('li', { class: 'tag', title: ref.name }, clean(ref.id + ' ' + ref.name))))),
    part('What to do', el('ol', null, story.steps.map((step) => el('li', null, clean(step.why, 400),
      step.command ? el('pre', { class: 'command' }, step.command, el('button', { type: 'button', 'aria-label': 'Copy this command', on: { click: () => copy(step.command, 'the command') } }, 'copy')) : '')))),
    part('Delivery', story.deliveries.length
      ? el('ul', null, story.deliveries.map((one) => el('li', null, el('strong', null, clean(one.webhook)), ' ', one.state === 'sent' ? '✓ ' : one.state === 'given-up' ? '✕ ' : '◌ ', clean(one.state), ': ', clean(one.detail, 300))))
      : el('p', null, 'No webhook is configured: this page and the command line are all who know.')),
    story.around.events.length ? part('Around it', el('p', { class: 'none' }, clean(story.around.note, 300)), el('ul', { class: 'events' }, story.around.events.slice(0, 8).map(event))) : '',
    others.length ? part(number(others.length) + ' alerts like it', el('ul', null, others.slice(0, 20).map((other) => el('li', null, el('button', { type: 'button', class: 'link', on: { click: () => change({ detail: 'alert:' + other.id }) } }, clean(other.operation, 120)), ' ', when(other.last_seen))))) : '',
    el('p', { class: 'none' }, 'Alert ', el('code', null, clean(story.id, 80))),
  ];
}

function marks(alert) {
  const all = [];
  if (alert.acknowledged) {
    const { at, by, note } = alert.acknowledged;
    all.push(el('p', { class: 'tag' }, '✓ acknowledged ', when(at), by ? ' by ' + clean(by) : '', note ? ': ' + clean(note, 300) : ''));
  }
  if (alert.muted_until && alerts.marked({ muted_until: alert.muted_until })) all.push(el('p', { class: 'tag' }, '⏸ muted until ', when(alert.muted_until)));
  return all;
}

function actions(story, alert) {
  const button = (id, text, call) => el('button', { type: 'button', id, on: { click: call } }, text);
  const until = el('select', { id: 'mute-for', 'aria-label': 'How long' }, [['1 hour', 1], ['8 hours', 8], ['1 day', 24], ['7 days', 168]].map(([text, hours]) => el('option', { value: hours }, text)));
  const made = [];
  if (alert) {
    if (alert.acknowledged || alerts.marked(alert)) made.push(button('unmark', 'Open again', () => mark({ command: 'unmark', id: story.id }, 'open again')));
    if (!alert.acknowledged) made.push(button('acknowledge', 'Acknowledge', acknowledge));
    if (!alerts.marked(alert)) made.push(el('span', { class: 'pair' }, button('mute', 'Mute for', mute), until));
    made.push(button('copy-clause', 'Copy as policy clause', clause));
  }
  made.push(button('copy-filter', 'Copy as filter', () => copy(filterOf(alert), 'the filter')));
  return el('div', { class: 'actions' }, made);
}

const currentAlert = () => (state.detail?.startsWith('alert:') ? alerts.find(state.detail.slice(6)) : null);

// The accesses of an alert, for the command line.
function filterOf(alert) {
  if (!alert) return command(state.pane, state.where[state.pane] || '');
  const of = (field, text) => text && condition('accesses', field, text, false);
  return command('accesses', all(of('identity', alert.identity), of('workload', alert.workload), of('finding', alert.kind)));
}

export function acknowledge() {
  const alert = currentAlert();
  if (alert && !alert.acknowledged) mark({ command: 'acknowledge', id: alert.id }, 'acknowledged');
}
export function mute() {
  const alert = currentAlert();
  if (!alert) return;
  const hours = Number($('mute-for')?.value || 8);
  mark({ command: 'mute', id: alert.id, until: new Date(Date.now() + hours * 3600e3).toISOString() }, 'muted');
}
export function clause() {
  const alert = currentAlert();
  if (alert) copy(clauseOf(alert, policy.granted()), 'the clause');
}
export function filter() {
  copy(filterOf(currentAlert()), 'the filter');
}

async function mark(body, word) {
  try {
    const alert = await post('mark', body);
    alerts.take([{ ...alert, evidence: [] }]);
    say('The alert is ' + word);
    again();
  } catch (error) {
    say('Not done: ' + clean(error.message, 200));
  }
}

function accessBody(n) {
  const row = live.find(n);
  if (!row) return el('p', null, 'This access is no longer held. Accesses are not stored; those of alerts are, with the alert.');
  const { access } = row;
  const end = (title, one) => one && part(title, pairs(
    ['Program', clean(one.exe) + ' (process ' + one.pid + ')'], ['User', clean(one.user)], ['Unit', one.unit && clean(one.unit)],
    ['Container', one.container && clean(one.container)], ['Started by', one.lineage?.length ? clean(one.lineage.join(' ← '), 400) : null]));
  const tls = access.tls;
  return [
    el('p', { class: 'lead' }, clean(access.request.method + ' ' + access.request.host + access.request.path, 600)),
    access.findings.length ? el('p', null, access.findings.map((kind) => [el('span', { class: 'tag bad' }, '▲ ' + clean(kind)), ' '])) : '',
    part('Who', pairs(
      ['Identity', value('identity', access.identity, { none: 'no credential', most: 80 })], ['Owner', access.owner && clean(access.owner)],
      ['Credential', access.credential && clean(access.credential.kind + (access.credential.hint ? ' ' + access.credential.hint : ''))],
      ['Fingerprint', access.credential && el('code', null, clean(access.credential.fingerprint))],
      ['Bound to', access.binding && clean((access.binding.bound_to || 'nothing') + ', proof ' + access.binding.proof)])),
    part('What', pairs(
      ['Time', clean(access.time, 40)], ['Route', clean(access.request.route, 300)], ['Answer', access.response ? access.response.status : 'none seen'],
      ['Took', access.duration_us === null || access.duration_us === undefined ? null : (access.duration_us / 1000).toFixed(1) + ' ms'],
      ['Environment', value('env', access.environment)], ['Granted by', access.duties.length ? clean(access.duties.join(', ')) : 'no duty'],
      ['Protocol', clean(access.protocol) + (tls ? ' in TLS ' + clean(tls.version ?? '') + (tls.sni ? ', ' + clean(tls.sni) : '') : ', clear text')],
      ['Other end', access.peer && clean(access.peer)])),
    end('Client', access.client),
    end('Server', access.server),
    el('div', { class: 'actions' }, el('button', { type: 'button', on: { click: () => copy(command('accesses', all(access.identity && condition('accesses', 'identity', access.identity, false), condition('accesses', 'host', access.request.host, false))), 'the filter') } }, 'Copy as filter')),
  ];
}
