// What is shown, and the address that says so.

export const PANES = ['alerts', 'accesses', 'identities', 'map', 'separation'];
export const FIELDS = ['identity', 'workload', 'host', 'method', 'status', 'finding', 'env'];

export const state = { pane: 'alerts', terms: [], detail: null, all: false };
const listeners = [];
export const onChange = (call) => listeners.push(call);

export function change(patch) {
  const before = { ...state };
  Object.assign(state, patch);
  const hash = '#' + encode();
  if (location.hash !== hash) history.replaceState(null, '', hash);
  for (const call of listeners) call(state, before);
}

function encode() {
  const parts = new URLSearchParams();
  parts.set('pane', state.pane);
  for (const term of state.terms) parts.append(term.not ? 'not' : 'is', term.field + '=' + term.value);
  if (state.detail) parts.set('detail', state.detail);
  if (state.all) parts.set('all', '1');
  return parts.toString();
}

// What the address says; a token in it is handed back and leaves the address.
export function fromAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const token = parts.get('token');
  const terms = [];
  for (const [key, text] of parts) {
    if (key !== 'is' && key !== 'not') continue;
    const term = parseTerm(text);
    if (term) terms.push({ ...term, not: key === 'not' });
  }
  const pane = parts.get('pane');
  Object.assign(state, {
    pane: PANES.includes(pane) ? pane : 'alerts',
    terms: terms.slice(0, 64),
    detail: parts.get('detail'),
    all: parts.get('all') === '1',
  });
  history.replaceState(null, '', '#' + encode());
  return token;
}

export function parseTerm(text) {
  const match = /^\s*([a-z]+)\s*(!?)=\s*([^]+?)\s*$/.exec(text);
  if (!match || !FIELDS.includes(match[1]) || match[3].length > 512) return null;
  return { field: match[1], value: match[3], not: match[2] === '!' };
}

export function addTerm(term) {
  const same = (other) => other.field === term.field && other.value === term.value;
  change({ terms: [...state.terms.filter((other) => !same(other)), term].slice(-64) });
}

const glob = (pattern) =>
  new RegExp('^' + pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&').replace(/\*/g, '[^]*').replace(/\?/g, '[^]') + '$', 'i');

// The rule of the daemon's filter: alternatives within a field, all fields, none that is excluded. `values` has
// what is known of a thing by field; a field that it does not have is not asked for.
export function matches(values) {
  const wanted = {};
  for (const term of state.terms) {
    const known = values[term.field];
    if (known === undefined) continue;
    // As in the daemon: the beginning of a fingerprint, or a name.
    const prints = term.field === 'identity' && /^bw1:/.test(term.value) ? values.fingerprints || known : [];
    const hit = prints.some((text) => (text ?? '').startsWith(term.value)) || known.some((text) => glob(term.value).test(text ?? 'none') || (term.field === 'finding' && term.value === 'any'));
    if (term.not) {
      if (hit) return false;
    } else {
      wanted[term.field] = wanted[term.field] || hit;
    }
  }
  return Object.values(wanted).every(Boolean);
}
