// The health line: what the monitor sees, loses and delivers; and what is amiss.

import { $, ago, bytes, clean, clock, el, number, replace } from './dom.js';

let status = null;
let link = { state: 'connecting' };
let since = null;
let missed = 0;

export const current = () => status;

const item = (name, text, tone, title) =>
  el('div', { class: 'fact ' + (tone || ''), title }, el('dt', null, name), el('dd', null, tone === 'bad' ? '✕ ' : tone === 'warn' ? '! ' : '', text));

// What was lost, and when that last grew.
let lost = { count: null, grew: 0 };
const LATELY = 60e3;
const sum = (next) => (next.losses || []).reduce((all, loss) => all + loss.count, 0);
// Records of TLS whose keys did not come are told by coverage, connection by connection.
const sudden = (next) => sum({ losses: (next.losses || []).filter((loss) => loss.cause !== 'undecided') });

export function show(next) {
  const count = sudden(next);
  // What was lost before this page was opened is in the health line; what is lost now is said.
  if (lost.count !== null && count > lost.count) lost.grew = Date.now();
  lost.count = count;
  status = next;
  draw();
}
export function showLink(next) {
  if (next.state === 'gone' && link.state !== 'gone') since = new Date().toISOString();
  link = next;
  draw();
}
export function showMissed(count) {
  missed += count;
  draw();
}

// How the kernel's hooks are attached, from their names.
function way(hooks) {
  const names = hooks.filter((hook) => hook.attached).map((hook) => hook.name).join(' ');
  if (/fexit/.test(names)) return 'returns of functions';
  if (/sock_send_length|tp_btf|btf/.test(names)) return 'BTF tracepoints';
  return 'attached';
}

function facts() {
  if (!status) return [item('Monitor', link.state === 'gone' ? 'not reached' : 'connecting …', link.state === 'gone' ? 'bad' : '')];
  const hooks = status.hooks || [];
  const off = hooks.filter((hook) => !hook.attached);
  const gone = sum(status);
  const causes = (status.losses || []).map((loss) => loss.cause + ' ' + number(loss.count) + ' ' + loss.unit).join(', ');
  const cover = status.coverage || {};
  const seen = (cover.read?.connections || 0) + (cover.dark?.connections || 0);
  const read = seen ? Math.round((100 * (cover.read?.connections || 0)) / seen) : null;
  const hooksOfWebhooks = status.webhooks || [];
  const waiting = hooksOfWebhooks.reduce((sum, hook) => sum + hook.waiting, 0);
  const oldest = Math.max(0, ...hooksOfWebhooks.map((hook) => hook.oldest_s || 0));
  const ill = hooksOfWebhooks.filter((hook) => hook.state !== 'ok');
  const base = status.baseline || {};
  const rate = status.accesses.per_second;
  return [
    link.state === 'live' ? item('Monitor', 'live', 'good', 'up ' + ago(status.uptime_s) + ', version ' + status.version) : item('Monitor', 'disconnected', 'bad'),
    item('Hooks', hooks.length - off.length + ' · ' + way(hooks), off.length ? 'warn' : '', hooks.map((hook) => hook.name).join(', ')),
    item('Accesses/s', rate < 10 ? rate.toFixed(1) : number(Math.round(rate)), '', number(status.accesses.total) + ' since start, ' + number(status.accesses.with_credential) + ' with a credential'),
    item('Lost', gone ? number(gone) : 'nothing', gone ? 'warn' : '', causes || 'no cause has counted anything'),
    item('Coverage', read === null ? 'nothing yet' : read + ' % read', cover.dark_workloads ? 'warn' : '', number(cover.read?.connections) + ' connections read, ' + number(cover.dark?.connections) + ' dark, ' + number(cover.other?.connections) + ' not HTTP; ' + number(cover.dark_workloads) + ' of ' + number(cover.workloads) + ' workloads mostly dark'),
    hooksOfWebhooks.length === 0
      ? item('Webhooks', 'none', '', 'no [[webhook]] is configured: alerts are only here')
      : item('Webhooks', ill.length ? ill[0].name + ' ' + ill[0].state : waiting ? waiting + ' waiting, oldest ' + ago(oldest) : 'delivered', ill.length ? 'bad' : waiting ? 'warn' : '', hooksOfWebhooks.map((hook) => hook.name + ': ' + hook.state + ', ' + hook.waiting + ' waiting, ' + hook.delivered + ' delivered, ' + hook.dead_letters + ' given up').join('; ')),
    item('Policy', status.policy.identities ? 'generation ' + status.policy.generation : 'none', status.policy.error ? 'bad' : '', number(status.policy.identities) + ' identities, loaded ' + clock(status.policy.loaded)),
    item('Baseline', !base.enabled ? 'off' : base.mature === 0 ? 'learning' : base.mature + ' of ' + base.profiles + ' mature', base.enabled && base.mature === 0 ? 'learn' : '', base.left + ' of ' + base.burst + ' alerts of its budget left'),
    status.memory_bytes ? item('Memory', bytes(status.memory_bytes), '') : null,
  ].filter(Boolean);
}

const notice = (tone, word, ...text) => el('p', { class: 'notice ' + tone }, el('strong', null, word), ' ', text);

function notices() {
  const all = [];
  if (link.state === 'gone') {
    all.push(notice('bad', '✕ Disconnected', 'since ' + clock(since) + '. What is shown is from before; the page tries again by itself. Is the daemon running? ', el('code', null, 'systemctl status bailiwick')));
  }
  if (missed) all.push(notice('warn', '! Missed', number(missed) + ' accesses passed that this page does not show: it was away, or too slow. They were judged all the same.'));
  if (!status) return all;
  if (status.policy.error) all.push(notice('bad', '✕ Policy refused', 'the last reload failed and the one before is in force: ' + clean(status.policy.error, 300)));
  if (status.alerts.error) all.push(notice('bad', '✕ Store', clean(status.alerts.error, 300)));
  if (Date.now() - lost.grew < LATELY) {
    const causes = [...(status.losses || [])].filter((loss) => loss.count && loss.cause !== 'undecided').sort((a, b) => b.count - a.count).slice(0, 3).map((loss) => clean(loss.cause) + ' (' + clean(loss.unit) + ')');
    all.push(notice('warn', '! Lost in the last minute', causes.join(', ') + '. It is not judged, and nothing is concluded from its absence; the health line counts it.'));
  }
  if (status.audit?.error) all.push(notice('bad', '✕ Audit log', 'it cannot be written, so what happens now is not in it: ' + clean(status.audit.error, 300)));
  for (const hook of (status.hooks || []).filter((hook) => !hook.attached).slice(0, 3)) {
    all.push(notice('warn', '! Not attached', clean(hook.name) + (hook.detail ? ': ' + clean(hook.detail) : '')));
  }
  for (const hook of (status.webhooks || []).filter((hook) => hook.state !== 'ok').slice(0, 3)) {
    all.push(notice('bad', '✕ Webhook ' + clean(hook.name), hook.state + (hook.error ? ': ' + clean(hook.error, 300) : '')));
  }
  if (status.coverage?.not_seen) all.push(notice('warn', '! Not seen on this kernel', clean(status.coverage.not_seen, 300)));
  const base = status.baseline;
  if (base?.enabled && base.mature === 0) {
    all.push(notice('learn', '◌ Learning', 'what is usual is not known yet (' + number(base.profiles) + ' profiles). The checks of the policy work from the first access on; “unusual” speaks up once a profile is mature.'));
  }
  return all;
}

let drawn = '';
function draw() {
  const environment = status?.environment;
  $('place').textContent = environment ? 'this host is ' + clean(environment, 40) : '';
  replace($('health'), facts());
  // A live region speaks when it changes: only then.
  const all = notices();
  const text = all.map((node) => node.textContent).join('\n');
  if (text !== drawn) {
    drawn = text;
    replace($('notices'), all);
  }
  document.body.classList.toggle('gone', link.state === 'gone');
}
