// Puts the page together: views, filters, keys, and when what is asked for.

import { $, clean, el, say, severity } from './dom.js';
import { addTerm, change, FIELDS, fromAddress, onChange, PANES, parseTerm, state } from './state.js';
import * as link from './link.js';
import * as health from './health.js';
import * as live from './live.js';
import * as alerts from './alerts.js';
import * as identities from './identities.js';
import * as map from './map.js';
import * as matrix from './matrix.js';
import * as detail from './detail.js';
import { copy, filterOf } from './copy.js';

live.build($('accesses'));
alerts.build($('alerts'));
identities.build($('identities'));
map.build($('map'));
matrix.build($('separation'));

// What is asked for; the last answer counts, failures show in the health line.
async function ask(path, take) {
  try {
    take(await link.get(path));
  } catch (error) {
    if (error instanceof link.Refused) gate(true);
  }
}
const askAlerts = () => ask('alerts', (answer) => {
  alerts.reset(answer.alerts);
  detail.refresh();
  map.draw();
});
const askIdentities = () => ask('identities', identities.take).then(() => matrix.draw());
const askPolicy = () => ask('policy', matrix.take).then(() => identities.draw());

let generation = null;
link.on('hello', (hello) => {
  if (hello.missed || hello.restarted) health.showMissed(hello.missed);
  if (hello.restarted) say('The daemon was restarted. What passed in between is not known here.');
  ask('status', health.show);
  askAlerts();
  askPolicy();
  askIdentities();
});
link.on('accesses', live.take);
link.on('alerts', (all) => {
  alerts.take(all);
  detail.refresh();
  map.draw();
});
link.on('status', (status) => {
  health.show(status);
  if (generation !== null && generation !== status.policy.generation) askPolicy();
  generation = status.policy.generation;
});
link.on('missed', ({ count }) => health.showMissed(count));
link.on('refresh', askAlerts);
link.on('map', map.take);
link.on('link', (next) => {
  health.showLink(next);
  if (next.state === 'refused') gate(true);
});
setInterval(() => {
  if (!document.hidden && link.hasToken() && (state.pane === 'identities' || state.pane === 'separation')) askIdentities();
}, 3000);

// Views.
function drawPane() {
  for (const pane of PANES) {
    const on = pane === state.pane;
    $(pane).hidden = !on;
    $('tab-' + pane).setAttribute('aria-selected', String(on));
    $('tab-' + pane).tabIndex = on ? 0 : -1;
  }
}
function drawTerms() {
  $('terms').replaceChildren(...state.terms.map((term) => {
    const text = term.field + (term.not ? ' ≠ ' : ' = ') + clean(term.value, 40);
    return el('button', { type: 'button', class: 'term' + (term.not ? ' not' : ''), 'aria-label': 'Remove the filter ' + text, on: { click: () => change({ terms: state.terms.filter((other) => other !== term) }) } }, text, ' ✕');
  }));
}
function drawAll() {
  drawPane();
  drawTerms();
  alerts.draw();
  identities.draw();
  map.draw();
  matrix.draw();
  detail.draw();
}
onChange((now, before) => {
  drawAll();
  if (JSON.stringify(now.terms) !== JSON.stringify(before.terms) && link.hasToken()) {
    live.clear();
    link.open(true);
  }
  if (now.pane !== before.pane && (now.pane === 'identities' || now.pane === 'separation')) askIdentities();
});
for (const tab of document.querySelectorAll('[role=tab]')) tab.addEventListener('click', () => change({ pane: tab.dataset.pane }));
window.addEventListener('hashchange', () => {
  const token = fromAddress();
  if (token) enter(token);
  drawAll();
});

// Filters.
$('add').addEventListener('submit', (event) => {
  event.preventDefault();
  const input = $('filter');
  if (!input.value.trim()) return;
  const terms = input.value.split(',').map(parseTerm);
  if (terms.some((term) => !term)) {
    input.setAttribute('aria-invalid', 'true');
    say('Write field=value or field!=value; fields are ' + FIELDS.join(', '));
    return;
  }
  input.removeAttribute('aria-invalid');
  for (const term of terms) addTerm(term);
  input.value = '';
  input.blur();
});

// A value that is clicked.
const menu = $('menu');
let menuOf = null;
function openMenu(node) {
  const { field, value } = node.dataset;
  menuOf = node;
  const entry = (text, call) => el('button', { type: 'button', role: 'menuitem', on: { click: () => { closeMenu(); call(); } } }, text);
  menu.replaceChildren(
    el('p', null, field + ': ' + clean(value, 60)),
    entry('Filter for it', () => addTerm({ field, value, not: false })),
    entry('Exclude it', () => addTerm({ field, value, not: true })),
    entry('Copy it', () => copy(value, 'the value')));
  menu.hidden = false;
  const box = node.getBoundingClientRect();
  menu.style.left = Math.max(8, Math.min(box.left, innerWidth - menu.offsetWidth - 8)) + 'px';
  menu.style.top = Math.max(8, Math.min(box.bottom + 4, innerHeight - menu.offsetHeight - 8)) + 'px';
  menu.querySelector('button').focus();
}
function closeMenu() {
  if (menu.hidden) return false;
  menu.hidden = true;
  if (menuOf?.isConnected) menuOf.focus();
  return true;
}
document.addEventListener('click', (event) => {
  const clicked = event.target instanceof Element ? event.target : null;
  const value = clicked?.closest('.v');
  if (value) return openMenu(value);
  if (!clicked?.closest('#menu')) menu.hidden = true;
  const row = clicked?.closest('[data-open]');
  if (row && !clicked.closest('button, a, input, select')) {
    row.focus();
    detail.openFor(row.dataset.open, row);
  }
});

// Keys.
const rows = () => [...$(state.pane).querySelectorAll('[data-open], .card')];
function move(by) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(document.activeElement);
  const next = all[Math.max(0, Math.min(all.length - 1, at < 0 ? 0 : at + by))];
  next.focus();
  next.scrollIntoView({ block: 'nearest' });
}
const KEYS = [
  ['1 – 5', 'views: alerts, accesses, identities, map, separation'],
  ['j / k, ↓ / ↑', 'next, previous row'],
  ['Enter', 'detail of the row'],
  ['v', 'filter for a value of the row'],
  ['/', 'write a filter'],
  ['x', 'remove all filters'],
  ['Space', 'pause the accesses, and go on'],
  ['g', 'to the newest access'],
  ['a', 'acknowledge the alert in the detail'],
  ['m', 'mute it'],
  ['c', 'copy it as policy clause'],
  ['f', 'copy it, or what is filtered, as filter'],
  ['Esc', 'close'],
  ['?', 'this help'],
];
function onKey(event) {
  const typing = event.target.closest?.('input, select, textarea');
  if (event.key === 'Escape') {
    if (typing) event.target.blur();
    else if (!closeMenu()) detail.close();
    return;
  }
  if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  if (!menu.hidden) {
    const all = [...menu.querySelectorAll('button')];
    const at = all.indexOf(document.activeElement);
    if (event.key === 'ArrowDown' || event.key === 'j') all[(at + 1) % all.length].focus();
    else if (event.key === 'ArrowUp' || event.key === 'k') all[(at + all.length - 1) % all.length].focus();
    else return;
    event.preventDefault();
    return;
  }
  const onTab = event.target.closest?.('[role=tab]');
  if (onTab && (event.key === 'ArrowLeft' || event.key === 'ArrowRight')) {
    const at = PANES.indexOf(state.pane) + (event.key === 'ArrowRight' ? 1 : PANES.length - 1);
    change({ pane: PANES[at % PANES.length] });
    $('tab-' + state.pane).focus();
    return;
  }
  const onButton = event.target.closest?.('button, summary, [role=tab]');
  const act = {
    j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
    Enter: () => document.activeElement?.dataset.open && detail.openFor(document.activeElement.dataset.open),
    v: () => { const first = document.activeElement?.querySelector?.('.v'); if (first) openMenu(first); },
    '/': () => $('filter').focus(), x: () => change({ terms: [] }),
    ' ': () => live.toggle(), g: () => live.resume(), '?': help,
    a: detail.acknowledge, m: detail.mute, c: detail.clause,
    f: () => (state.detail ? detail.filter() : copy(filterOf(state.terms), 'the filter')),
  };
  const pane = PANES[Number(event.key) - 1];
  if (pane) act[event.key] = () => { change({ pane }); $('tab-' + pane).focus(); };
  if (!act[event.key] || (onButton && (event.key === 'Enter' || event.key === ' '))) return;
  event.preventDefault();
  act[event.key]();
}
document.addEventListener('keydown', onKey);

function help() {
  $('help').replaceChildren(
    el('h2', { id: 'help-title' }, 'Keys'),
    el('dl', { class: 'keys' }, KEYS.map(([keys, text]) => el('div', null, el('dt', null, el('kbd', null, keys)), el('dd', null, text)))),
    el('h2', null, 'Severities'),
    el('p', null, ['critical', 'high', 'medium', 'low'].map((word) => [severity(word), ' '])),
    el('h2', null, 'Filters'),
    el('p', null, 'field=value or field!=value; * stands for any text. Fields: ' + FIELDS.join(', ') + '. A value on the page can be clicked. Alternatives of one field are joined by or, different fields by and. The address holds views, filters and detail: copy it to show a colleague the same.'),
    el('form', { method: 'dialog' }, el('button', null, 'Close')));
  $('help').showModal();
}
$('help-open').addEventListener('click', help);

// The token.
function gate(wrong) {
  const dialog = $('gate');
  if (dialog.open) return;
  const input = el('input', { type: 'password', id: 'token', autocomplete: 'off', 'aria-label': 'Token', placeholder: 'token' });
  dialog.replaceChildren(
    el('h2', { id: 'gate-title' }, wrong ? 'This token is not known here' : 'This page needs its token'),
    el('p', null, 'It shows who uses which credential, so it shows it only to those who may. On the host, as root:'),
    el('pre', null, 'sudo bailiwick page'),
    el('p', null, 'Open the address that it prints, or put its token here:'),
    el('form', { method: 'dialog', on: { submit: () => enter(input.value.trim().replace(/^.*token=/, '')) } }, input, ' ', el('button', null, 'Open')));
  dialog.addEventListener('cancel', (event) => event.preventDefault());
  dialog.showModal();
}
function enter(token) {
  if (!token) return gate(false);
  link.setToken(token);
  $('gate').close();
  link.open(true);
}

const token = fromAddress();
drawAll();
health.showLink({ state: 'connecting' });
if (token) enter(token);
else if (link.hasToken()) link.open(true);
else gate(false);
