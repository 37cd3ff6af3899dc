// Texts to take elsewhere: a clause for the policy.

import { say } from './dom.js';

// A TOML basic string (toml.io, "String"): what may not stand in it is escaped.
export function toml(text) {
  let out = '"';
  for (const c of String(text)) {
    const code = c.codePointAt(0);
    if (c === '"' || c === '\\') out += '\\' + c;
    else if (code < 0x20 || (code >= 0x7f && code <= 0x9f) || (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x2069) || code === 0xfeff) {
      out += code > 0xffff ? '\\U' + code.toString(16).padStart(8, '0') : '\\u' + code.toString(16).padStart(4, '0');
    } else out += c;
  }
  return out + '"';
}
const list = (all) => '[' + all.map(toml).join(', ') + ']';
const key = (name) => (/^[A-Za-z0-9_-]+$/.test(name) ? name : toml(name));
// A comment ends at the end of its line, so nothing of traffic may end the line.
const remark = (text) => '# ' + toml(text).slice(1, -1);

// What the policy would have to say for this alert to be no alert: to be read before it is used.
export function clauseOf(alert, granted) {
  const name = alert.identity;
  const lines = [remark('for alert ' + alert.id + ': ' + alert.title), '# This allows what was reported. Read it before you use it.'];
  if (!name) return lines.concat('# No credential, so there is no identity to allow it to.').join('\n') + '\n';
  const known = granted && granted.get(name);
  const duties = known ? known.duties : [];
  if (alert.kind === 'duty' || alert.kind === 'canary' || !known) {
    const [method, ...rest] = alert.operation.split(' ');
    const duty = 'allow-' + alert.id.toLowerCase().slice(-6);
    lines.push('[duties]', key(duty) + ' = ' + list([method + ' ' + rest.join(' ')]), '');
    lines.push('[identities.' + key(name) + ']');
    if (!known) {
      lines.push('owner = ' + toml(alert.owner || 'who answers for it'));
      if (/^bw1:/.test(name)) lines.push('credentials = ' + list([name]));
    }
    lines.push('duties = ' + list([...duties, duty]));
  } else {
    lines.push('[identities.' + key(name) + ']');
  }
  if (alert.kind === 'environment' && alert.environment) {
    lines.push('environments = ' + list([...new Set([...(known?.environments || []), alert.environment])]));
  }
  if (alert.kind === 'workload' && alert.workload && !alert.workload.startsWith('peer:')) {
    lines.push('# beside those it has', 'workloads = ' + list([alert.workload]));
  }
  return lines.join('\n') + '\n';
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say('Copied ' + what);
  } catch {
    say('The browser does not let this page copy: mark the text instead');
  }
}
