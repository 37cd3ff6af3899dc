// What is shown, and the address that says so.

export const PANES = ['alerts', 'accesses', 'identities', 'map', 'separation'];
// Views that have a filter, in the filter language (docs/filter.md), each over its own records.
export const FILTERED = ['alerts', 'accesses', 'identities'];

export const state = { pane: 'alerts', where: { alerts: '', accesses: '', identities: '' }, detail: null, all: false };
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
  for (const pane of FILTERED) if (state.where[pane]) parts.set(pane, state.where[pane]);
  if (state.detail) parts.set('detail', state.detail);
  if (state.all) parts.set('all', '1');
  return parts.toString();
}

// What the address says; a token in it is handed back and leaves the address.
export function fromAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const token = parts.get('token');
  const pane = parts.get('pane');
  Object.assign(state, {
    pane: PANES.includes(pane) ? pane : 'alerts',
    where: Object.fromEntries(FILTERED.map((name) => [name, (parts.get(name) || '').slice(0, 4096)])),
    detail: parts.get('detail'),
    all: parts.get('all') === '1',
  });
  history.replaceState(null, '', '#' + encode());
  return token;
}

export const where = (pane, text) => ({ where: { ...state.where, [pane]: text } });
