//! Prometheus Alertmanager's API v2, `POST /api/v2/alerts`:
//! <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>.
//!
//! Alertmanager knows an alert by its labels. They do not change while an alert grows; when it gets
//! worse, its `severity` does, so that it is routed and told anew.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::alert::Alert;

use super::{Sender, is_test, kind, severity, shown};

/// How long after its last access an alert goes on: a finding that comes later is a new alert (docs/webhooks.md).
const OPEN: SignedDuration = SignedDuration::from_hours(24);
/// How long a test shows.
const TEST: SignedDuration = SignedDuration::from_mins(5);

pub(super) fn body(alert: &Alert, sender: &Sender<'_>) -> Vec<u8> {
    let mut labels = Map::new();
    let mut label = |name: &str, value: &str| {
        // An empty label is none.
        if !value.is_empty() {
            labels.insert(name.to_owned(), shown(value, 1000).into());
        }
    };
    label("alertname", &name(kind(alert)));
    label("alert_id", &alert.id);
    label("kind", kind(alert));
    label("severity", severity(alert.severity));
    label("instance", sender.host);
    for (name, value) in [
        ("identity", &alert.identity),
        ("owner", &alert.owner),
        ("workload", &alert.workload),
        ("environment", &alert.environment),
    ] {
        label(name, value.as_deref().unwrap_or_default());
    }
    let mut one = json!({
        "labels": labels,
        "annotations": {
            "summary": shown(&alert.title, 1000),
            "description": format!(
                "{}. Normal: {}. To do: {}",
                shown(&alert.title, 1000), shown(&alert.normal, 2000), shown(&alert.action, 2000)
            ),
            "operation": shown(&alert.operation, 3000),
            "clause": shown(&alert.clause, 2000),
            "count": alert.count.to_string(),
            "last_seen": alert.last_seen,
        },
        "startsAt": alert.first_seen,
    });
    if let (Some(one), Some(end)) = (one.as_object_mut(), end(alert)) {
        one.insert("endsAt".to_owned(), end.into());
    }
    Value::Array(vec![one]).to_string().into_bytes()
}

/// `BailiwickCredentialInUrl`.
fn name(kind: &str) -> String {
    let mut name = "Bailiwick".to_owned();
    for word in kind.split('-') {
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.extend(letters);
    }
    name
}

fn end(alert: &Alert) -> Option<String> {
    let open = if is_test(alert) { TEST } else { OPEN };
    let last = alert.last_seen.parse::<Timestamp>().ok()?;
    Some(last.checked_add(open).ok()?.to_string())
}
