// Owners against duties: who holds what, what of it is used, and what must not meet.

import { ago, clean, el, empty, number, value } from './dom.js';
import { state } from './state.js';
import * as identities from './identities.js';

let place, record = null;
let byIdentity = new Map();

export function build(section) {
  place = el('div', { class: 'scroll', tabindex: '0', 'aria-label': 'Separation of duties' });
  section.append(place);
}
export function take(next) {
  record = next;
  byIdentity = new Map();
  for (const owner of next.owners) for (const one of owner.identities) byIdentity.set(one.identity, { ...one, owner: owner.owner });
  draw();
}
// What the policy grants, by identity.
export const granted = () => byIdentity;

export function draw() {
  if (state.pane !== 'separation') return;
  if (!record) {
    place.replaceChildren(empty('Asking the monitor …'));
    return;
  }
  if (record.owners.length === 0) {
    place.replaceChildren(empty('No policy names an identity', el('p', null, 'What was seen can be made one, to be read and narrowed: '), el('pre', null, 'bailiwick learn --out policy.toml'), el('p', null, 'Then name it in the configuration, and '), el('pre', null, 'systemctl reload bailiwick')));
    return;
  }
  const used = new Map();
  for (const one of identities.all()) for (const duty of one.usage?.duties || []) used.set(JSON.stringify([one.identity, duty.duty]), duty.count);
  const separated = record.duties.filter((duty) => record.separations.some((rule) => rule.duties.includes(duty.name)));
  const others = record.duties.filter((duty) => !separated.includes(duty));
  const duties = [...separated, ...others];
  const owners = record.owners;
  const cell = (owner, duty) => {
    const holders = owner.identities.filter((one) => one.duties.includes(duty.name));
    if (holders.length === 0) return el('td', { class: 'hold' }, el('span', { class: 'none', 'aria-label': 'not held' }, '·'));
    const held = new Set(owner.identities.flatMap((one) => one.duties));
    const rules = record.separations.filter((rule) => rule.duties.includes(duty.name) && rule.duties.some((other) => other !== duty.name && held.has(other)));
    const broken = rules.some((rule) => !rule.on);
    const count = holders.reduce((sum, one) => sum + (used.get(JSON.stringify([one.identity, duty.name])) || 0), 0);
    const words = broken ? 'must not be held together' : rules.length ? 'must not meet on one object' : count ? 'used ' + number(count) + ' times' : 'granted, never used';
    const glyph = broken ? '✕' : rules.length ? '⇄' : count ? '●' : '○';
    return el('td', { class: 'hold ' + (broken ? 'bad' : rules.length ? 'warn' : count ? 'used' : 'unused'), title: clean(holders.map((one) => one.identity).join(', '), 300) + ': ' + words }, el('span', { 'aria-hidden': 'true' }, glyph), ' ', el('span', { class: 'word' }, broken ? 'conflict' : count ? number(count) : rules.length ? 'watched' : 'unused'));
  };
  const within = (rule) => (rule.within_s ? ' within ' + ago(rule.within_s) : '');
  place.replaceChildren(
    el('p', { class: 'note' }, '● used  ○ granted, never used  ⇄ separated per object, watched  ✕ separated, in one hand. Columns that are separated come first.'),
    el('div', { class: 'wide' }, el('table', { class: 'matrix' },
      el('thead', null, el('tr', null, el('th', { scope: 'col' }, 'Owner'), duties.map((duty) => el('th', { scope: 'col', class: separated.includes(duty) ? 'separated' : '' }, el('span', null, clean(duty.name, 32)), duty.privileged ? el('span', { class: 'none' }, ' privileged') : '')))),
      el('tbody', null, owners.slice(0, 300).map((owner) => el('tr', null, el('th', { scope: 'row' }, clean(owner.owner, 40), el('div', { class: 'none' }, owner.identities.slice(0, 4).map((one) => [value('identity', one.identity, { most: 32 }), ' ']), owner.identities.length > 4 ? '+ ' + (owner.identities.length - 4) : '')), duties.map((duty) => cell(owner, duty))))))),
    el('h3', null, 'Rules'),
    record.separations.length || record.approvals.length ? el('ul', { class: 'rules' },
      record.separations.map((rule) => el('li', null, 'Nobody ' + (rule.on ? 'does ' : 'holds ') + rule.duties.map((name) => clean(name)).join(' and ') + (rule.on ? ' to the same ' + clean(rule.on) + within(rule) : ' together') + '. ', el('code', null, clean(rule.place)))),
      record.approvals.map((rule) => el('li', null, clean(rule.duty) + ' needs ' + clean(rule.by) + ' by another ' + rule.distinct + within(rule) + ' before. ', el('code', null, clean(rule.place))))) : el('p', { class: 'none' }, 'The policy separates nothing: add [[separate]] or [[approve]].'));
}
