// Puts the page together: views, filters, keys, and when what is asked for.

import { $, clean, el, say, severity } from './dom.js';
import { change, fromAddress, onChange, PANES, state } from './state.js';
import * as filters from './filters.js';
import * as link from './link.js';
import * as health from './health.js';
import * as live from './live.js';
import * as alerts from './alerts.js';
import * as identities from './identities.js';
import * as map from './map.js';
import * as matrix from './matrix.js';
import * as detail from './detail.js';
import { copy } from './copy.js';

live.build($('accesses'));
alerts.build($('alerts'));
identities.build($('identities'));
map.build($('map'));
matrix.build($('separation'));
filters.build();

// What is asked for; the last answer counts, failures show in the health line.
async function ask(path, take) {
  try {
    take(await link.get(path));
  } catch (error) {
    if (error instanceof link.Refused) gate(true);
    if (error instanceof link.BadFilter) {
      const pane = path.split('?')[0];
      filters.tell(pane, error.told);
      // What cannot be read lets nothing pass.
      (pane === 'alerts' ? alerts : identities).none();
    }
  }
}
const asking = (pane) => pane + (state.where[pane] ? '?where=' + encodeURIComponent(state.where[pane]) : '');
const askAlerts = () => ask(asking('alerts'), (answer) => {
  alerts.reset(answer.alerts, state.where.alerts ? answer.passing : null);
  detail.refresh();
  map.draw();
});
const askIdentities = () => ask(asking('identities'), identities.take).then(() => matrix.draw());
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
let asks = null;
link.on('alerts', (all) => {
  alerts.take(all);
  // Which of them pass, the daemon says: once a second at most.
  if (state.where.alerts && !asks) {
    asks = setTimeout(() => {
      asks = null;
      askAlerts();
    }, 1000);
  }
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
link.on('filter', (told) => filters.tell('accesses', told));
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
function drawAll() {
  drawPane();
  filters.draw();
  alerts.draw();
  identities.draw();
  map.draw();
  matrix.draw();
  detail.draw();
}
onChange((now, before) => {
  drawAll();
  const other = (pane) => now.where[pane] !== before.where[pane] && link.hasToken();
  if (other('accesses')) {
    live.clear();
    link.open(true);
  }
  if (other('alerts')) askAlerts();
  if (other('identities')) askIdentities();
  if (now.pane !== before.pane && (now.pane === 'identities' || now.pane === 'separation')) askIdentities();
});
for (const tab of document.querySelectorAll('[role=tab]')) tab.addEventListener('click', () => change({ pane: tab.dataset.pane }));
window.addEventListener('hashchange', () => {
  const token = fromAddress();
  if (token) enter(token);
  else if (link.hasToken()) link.open(true);
  live.clear();
  drawAll();
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
    filters.some(field, value) ? entry(filters.stays(field, value) ? 'Filter for it' : 'Show its accesses', () => filters.add(field, value, false)) : '',
    filters.stays(field, value) ? entry('Exclude it', () => filters.add(field, value, true)) : '',
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
  ['x', 'remove the filter of the view'],
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
    '/': () => $('filter').focus(), x: filters.clear,
    ' ': () => live.toggle(), g: () => live.resume(), '?': help,
    a: detail.acknowledge, m: detail.mute, c: detail.clause,
    f: () => (state.detail ? detail.filter() : copy(filters.command(state.pane, state.where[state.pane] || ''), 'the filter')),
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
    el('p', null, 'The filter language of the command line (docs/filter.md), over the records of the view:'),
    el('pre', null, 'identity == "ci-bot" and response.status >= 400\nseverity >= "high" and not (environment in ["dev", "test"])\n"unit:ci.service" in workloads or refused > 10'),
    el('p', null, 'A value on the page can be clicked: it is added as a condition, or excluded. The address holds views, filters and detail: copy it to show a colleague the same.'),
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
    wrong ? el('p', null, 'The address is of another daemon, or from before its token was made anew.') : '',
    el('p', null, (wrong ? 'The page' : 'It') + ' shows who uses which credential, so it shows it only to those who may. On the host, as root:'),
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
