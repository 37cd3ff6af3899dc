// The daemon: requests with the token, and the stream of events, which is taken up again where it broke off.

import { state } from './state.js';

const KEY = 'bailiwick-token';
let token = null;
try { token = sessionStorage.getItem(KEY); } catch { token = null; }

export function setToken(text) {
  token = text;
  try { sessionStorage.setItem(KEY, text); } catch { /* It then lasts until the page is reloaded. */ }
}
export const hasToken = () => Boolean(token);

export class Refused extends Error {}
// A filter that cannot be: `told` has message, place and hint.
export class BadFilter extends Error {
  constructor(told) {
    super(told.message);
    this.told = told;
  }
}

async function request(path, options = {}) {
  const headers = { ...(options.headers || {}), Authorization: 'Bearer ' + (token || '') };
  const answer = await fetch('/api/' + path, { ...options, headers, cache: 'no-store', credentials: 'omit' });
  if (answer.status === 401) throw new Refused('the token is not known');
  if (answer.status === 400 && answer.headers.get('content-type') === 'application/json') throw new BadFilter(await answer.json());
  if (!answer.ok) throw new Error((await answer.text()).slice(0, 500) || 'status ' + answer.status);
  return answer;
}
export const get = async (path) => (await request(path)).json();
export const post = async (path, body) =>
  (await request(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })).json();

// Handlers by event; `link` is told of the connection: 'live', 'gone', 'refused'.
const handlers = {};
export const on = (event, call) => (handlers[event] = handlers[event] || []).push(call);
function tell(event, data) {
  for (const call of handlers[event] || []) call(data);
}

let abort = null;
let lastId = null;
let generation = 0;

// Opens the stream anew: with another filter, from the beginning.
export function open(fresh) {
  if (fresh) lastId = null;
  generation += 1;
  if (abort) abort.abort();
  run(generation);
}

async function run(mine) {
  let pause = 500;
  let where = state.where.accesses;
  while (mine === generation) {
    abort = new AbortController();
    try {
      const query = where ? '?where=' + encodeURIComponent(where) : '';
      const headers = lastId ? { 'Last-Event-ID': lastId } : {};
      const answer = await request('stream' + query, { headers, signal: abort.signal });
      if (mine !== generation) return;
      pause = 500;
      tell('link', { state: 'live' });
      await read(answer.body.getReader(), mine);
    } catch (error) {
      if (mine !== generation) return;
      if (error instanceof Refused) {
        tell('link', { state: 'refused' });
        return;
      }
      if (error instanceof BadFilter) {
        tell('filter', error.told);
        // No access passes what cannot be read; all else goes on.
        where = 'false';
        continue;
      }
      tell('link', { state: 'gone', why: String(error.message || error), pause });
    }
    if (mine !== generation) return;
    tell('link', { state: 'gone', why: 'the stream ended', pause });
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(pause * 2, 5000);
  }
}

async function read(reader, mine) {
  const decoder = new TextDecoder();
  let text = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done || mine !== generation) return;
    text += decoder.decode(value, { stream: true });
    let end;
    while ((end = text.indexOf('\n\n')) >= 0) {
      take(text.slice(0, end));
      text = text.slice(end + 2);
    }
  }
}

function take(block) {
  let event = 'message';
  let data = '';
  let id = null;
  for (const line of block.split('\n')) {
    if (line.startsWith('event: ')) event = line.slice(7);
    else if (line.startsWith('data: ')) data += line.slice(6);
    else if (line.startsWith('id: ')) id = line.slice(4);
  }
  tell(event, JSON.parse(data));
  // After it was dealt with: what fails is asked for again.
  if (id) lastId = id;
}
