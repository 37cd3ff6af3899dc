//! A story for a terminal. Every word that came from elsewhere is quoted.

use super::model::{Event, Story};
use crate::cli::quote::text as quote;
use crate::report::lines::Lines;
use crate::report::words::{counted, short};

/// Most ancestors shown.
const MOST_LINEAGE: usize = 8;

/// The lines of a story, none wider than `width` characters (between 40 and 120).
#[must_use]
pub fn render(story: &Story, width: usize) -> Vec<String> {
    let mut out = Lines::new(width);
    let severity = format!("{:?}", story.severity).to_uppercase();
    out.hang(
        "",
        &quote(&format!(
            "{severity} {}: {}",
            story.kind.name(),
            story.title
        )),
    );
    out.hang("", &quote(&format!("Alert {}", story.id)));
    happened(&mut out, story);
    who(&mut out, story);
    from(&mut out, story);
    normal(&mut out, story);
    around(&mut out, story);
    meaning(&mut out, story);
    deliveries(&mut out, story);
    steps(&mut out, story);
    out.finish()
}

fn event(out: &mut Lines, event: &Event) {
    let mut text = event.operation.clone();
    match event.status {
        Some(status) => text.push_str(&format!(", answered {status}")),
        None => text.push_str(", no answer seen"),
    }
    if let Some(environment) = &event.environment {
        text.push_str(&format!(", in {environment}"));
    }
    if let Some(pid) = event.pid {
        text.push_str(&format!(", by process {pid}"));
    }
    if !event.findings.is_empty() {
        text.push_str(&format!(", finding: {}", event.findings.join(", ")));
    }
    // Seconds matter in a story.
    let time = event
        .time
        .get(..19)
        .map_or_else(|| event.time.clone(), |time| format!("{time}Z"));
    out.row(2, &quote(&time), 20, &quote(&text));
}

fn happened(out: &mut Lines, story: &Story) {
    out.heading("What happened");
    out.hang(
        "  ",
        &quote(&format!(
            "{} from {} to {}",
            counted(story.count, "time"),
            short(&story.first_seen),
            short(&story.last_seen)
        )),
    );
    for one in &story.happened {
        event(out, one);
    }
    if story.not_kept > 0 {
        out.hang(
            "  ",
            &format!("… and {} more that were only counted", story.not_kept),
        );
    }
}

fn who(out: &mut Lines, story: &Story) {
    let who = &story.who;
    out.heading("Who");
    let mut row = |name: &str, value: &str| out.row(2, name, 11, &quote(value));
    row("identity", who.identity.as_deref().unwrap_or("none"));
    row("owner", who.owner.as_deref().unwrap_or("unknown"));
    if let Some(credential) = &who.credential {
        let kind = serde_json::to_value(credential.kind).ok();
        let kind = kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or("?");
        let hint = credential
            .hint
            .as_ref()
            .map(|hint| format!(", begins with {hint}"))
            .unwrap_or_default();
        row(
            "credential",
            &format!("{kind} {}{hint}", credential.fingerprint),
        );
    }
    if let Some(binding) = &who.binding {
        row(
            "binding",
            &format!(
                "bound to {}, proof {}",
                binding.bound_to.as_deref().unwrap_or("nothing"),
                binding.proof
            ),
        );
    }
    row("identified", &who.identified);
    if let Some(place) = &who.place {
        row("defined at", place);
    }
}

fn from(out: &mut Lines, story: &Story) {
    out.heading("From where");
    if story.from.is_empty() {
        out.hang("  ", "not known");
    }
    for one in &story.from {
        let peer = one.peer.as_deref().unwrap_or("unknown");
        match &one.exe {
            None => out.hang(
                "  ",
                &quote(&match &one.workload {
                    Some(workload) => workload.clone(),
                    None => format!("another host, {peer}"),
                }),
            ),
            Some(exe) => {
                let exe = if exe.is_empty() {
                    "an unknown program"
                } else {
                    exe
                };
                out.hang(
                    "  ",
                    &quote(&format!(
                        "{exe}, process {} of user {}, {}, connected to {peer}",
                        one.pid.unwrap_or(0),
                        one.user.as_deref().unwrap_or("unknown"),
                        one.workload.as_deref().unwrap_or("no workload known"),
                    )),
                );
            }
        }
        if !one.lineage.is_empty() {
            let shown: Vec<&str> = one
                .lineage
                .iter()
                .take(MOST_LINEAGE)
                .map(String::as_str)
                .collect();
            out.hang("    ", &quote(&format!("started by {}", shown.join(" ← "))));
        }
    }
}

fn normal(out: &mut Lines, story: &Story) {
    let normal = &story.normal;
    out.heading("What would have been normal");
    out.hang("  ", &quote(&normal.words));
    out.hang("  ", &quote(&format!("broken: {}", normal.clause)));
    let place = normal.place.as_deref().unwrap_or("?");
    match &*normal.policy {
        "in-force" => out.hang(
            "  ",
            &quote(&format!("The policy still says so, at {place}.")),
        ),
        "moved" => out.hang(
            "  ",
            &quote(&format!(
                "The policy has changed since; what it says now begins at {place}."
            )),
        ),
        "gone" => out.hang("  ", "The policy does not say so any more."),
        _ => {}
    }
}

fn around(out: &mut Lines, story: &Story) {
    let around = &story.around;
    out.heading("What else happened around it");
    out.hang("  ", &quote(&around.note));
    if around.more > 0 {
        out.hang("  ", &format!("{} earlier ones are left out", around.more));
    }
    for one in &around.events {
        event(out, one);
    }
    if around.held && around.events.is_empty() {
        out.hang("  ", "none");
    }
}

fn meaning(out: &mut Lines, story: &Story) {
    out.heading("What it means");
    out.hang("  ", &quote(&story.meaning.words));
    for reference in &story.meaning.references {
        out.row(2, &quote(&reference.id), 11, &quote(&reference.name));
    }
}

fn deliveries(out: &mut Lines, story: &Story) {
    out.heading("Who was told");
    if story.deliveries.is_empty() {
        out.hang("  ", "nobody: no webhook is configured");
    }
    for one in &story.deliveries {
        out.hang(
            "  ",
            &quote(&format!("{}: {}, {}", one.webhook, one.state, one.detail)),
        );
    }
}

fn steps(out: &mut Lines, story: &Story) {
    out.heading("What to do now");
    for (at, step) in story.steps.iter().enumerate() {
        let lead = format!("  {}. ", at.saturating_add(1));
        out.hang(&lead, &quote(&step.why));
        if let Some(command) = &step.command {
            // Not wrapped: it is to be copied.
            out.whole(&format!("       {}", quote(command)));
        }
    }
}
