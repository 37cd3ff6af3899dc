// Filters: the box, what is wrong with what it says, and conditions made of values that are clicked. They are evaluated by
// the daemon alone.

import { $, clean, say } from './dom.js';
import { change, FILTERED, state, where } from './state.js';
import * as link from './link.js';

// A text of the filter language; what does not show itself is escaped.
export function quote(text) {
  let out = '"';
  for (const c of String(text)) {
    const code = c.codePointAt(0);
    const hidden = code < 0x20 || (code >= 0x7f && code <= 0x9f) || (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x2069) || code === 0xfeff;
    if (c === '"' || c === '\\') out += '\\' + c;
    else if (hidden) out += '\\u' + code.toString(16).padStart(4, '0');
    else out += c;
  }
  return out + '"';
}

// `unit:x` and the like, as fields of an access.
function client(text) {
  const [, kind, name] = /^(unit|container|exe):([^]*)$/.exec(text) || [];
  return kind ? ['client.' + kind, name] : null;
}
const is = (field) => (text, not) => field + (not ? ' != ' : ' == ') + quote(text);
const has = (field) => (text, not) => (not ? 'not ' : '') + quote(text) + ' in ' + field;
const environment = (text, not) => (text ? is('environment')(text, not) : not ? 'has(environment)' : 'not has(environment)');
const CONDITIONS = {
  accesses: {
    identity: is('identity'), host: is('request.host'), method: is('request.method'), env: environment, finding: has('findings'),
    status: (text, not) => 'response.status' + (not ? ' != ' : ' == ') + Number(text),
    workload: (text, not) => { const found = client(text); return found && is(found[0])(found[1], not); },
  },
  alerts: { identity: is('identity'), workload: is('workload'), env: environment, finding: is('kind') },
  identities: { identity: is('identity'), workload: has('workloads'), env: (text, not) => (text ? has('environments')(text, not) : not ? 'has(environments)' : 'not has(environments)'), host: has('hosts'), finding: has('findings') },
};

// The condition on a value in a view's filter; null where it has none.
export const condition = (pane, field, text, not) => CONDITIONS[pane]?.[field]?.(text, not) ?? null;

// Of two conditions, both.
function both(old, more) {
  if (!old) return more;
  if (old === more || old.split(' and ').includes(more)) return old;
  const group = /\bor\b|\|\|/.test(old) ? '(' + old + ')' : old;
  return group + ' and ' + more;
}

// Adds a condition to the filter of the view, or, where that has none on such a value, of the accesses, and shows those.
export function add(field, text, not, pane = state.pane) {
  const at = condition(pane, field, text, not) ? pane : 'accesses';
  const more = condition(at, field, text, not);
  if (!more) return say('There is no filter for that');
  set(at, both(state.where[at], more), { pane: at });
}
// Whether a click on it stays in this view.
export const stays = (field, text) => Boolean(condition(state.pane, field, text, false));
export const some = (field, text) => Boolean(condition(state.pane, field, text, false) || condition('accesses', field, text, false));

function set(pane, text, more = {}) {
  tell(pane, null);
  change({ ...where(pane, text), ...more });
}
export function clear() {
  if (FILTERED.includes(state.pane)) set(state.pane, '');
}

// What is wrong: a sentence, the filter with a caret under the place, and what to do.
const wrong = {};
export function tell(pane, error) {
  wrong[pane] = error;
  const shown = wrong[state.pane];
  const box = $('filter-error');
  box.hidden = !shown;
  if (!shown) return $('filter').removeAttribute('aria-invalid');
  $('filter').setAttribute('aria-invalid', 'true');
  box.textContent = [clean(shown.message, 400), ...shown.place.map((line) => '  ' + line), shown.hint ? 'hint: ' + clean(shown.hint, 400) : ''].filter(Boolean).join('\n');
}

async function submit() {
  const pane = state.pane;
  const text = $('filter').value.trim();
  if (!FILTERED.includes(pane)) return;
  try {
    const { refused } = text ? await link.get('filter?of=' + pane + '&where=' + encodeURIComponent(text)) : {};
    if (refused) return tell(pane, refused);
  } catch (error) {
    return say('Not filtered: ' + clean(error.message, 200));
  }
  set(pane, text);
  $('filter').blur();
}

export function build() {
  $('add').addEventListener('submit', (event) => {
    event.preventDefault();
    submit();
  });
  $('filter-clear').addEventListener('click', clear);
}

const EXAMPLE = { alerts: 'severity >= "high"', accesses: 'response.status >= 400', identities: 'refused > 10' };
let drawn = null;
export function draw() {
  const on = FILTERED.includes(state.pane);
  const text = on ? state.where[state.pane] : '';
  const input = $('filter');
  input.disabled = !on;
  input.placeholder = on ? 'filter: ' + EXAMPLE[state.pane] : 'no filter in this view';
  $('filter-clear').hidden = !text;
  // What is being written is left alone, unless it is of another view or was changed by a click.
  const now = JSON.stringify([state.pane, text]);
  if (now !== drawn) {
    drawn = now;
    input.value = text;
  }
  tell(state.pane, wrong[state.pane]);
}

// The same for the command line, quoted for a shell.
const COMMAND = { alerts: 'alerts', accesses: 'tail', identities: 'identities' };
export function command(pane, text) {
  const words = 'bailiwick ' + (COMMAND[pane] || 'tail');
  return text ? words + " --where '" + text.replace(/[\u0000-\u001f\u007f]/g, ' ').replace(/'/g, "'\\''") + "'" : words;
}
export const all = (...conditions) => conditions.filter(Boolean).join(' and ');
