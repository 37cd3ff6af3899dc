//! Coverage lost: what a workload says could be read, and cannot be any more. The one finding that is not
//! about an access: there is none to see.

use super::Words;
use super::expired_token::span;
use super::words::Quoted;
use crate::access::Workload;
use crate::coverage::Turned;

/// Puts it into words.
pub(super) fn words(workload: &Workload, turned: &Turned) -> Words {
    let label = workload.label();
    let who = format!("{}:{}", label.kind, Quoted(label.name));
    let what = if turned.same_destination {
        format!(
            "{who} could be read when it talked to {}, and cannot be any more",
            Quoted(&turned.destination)
        )
    } else {
        format!(
            "{who} could be read and cannot be any more, now at {}",
            Quoted(&turned.destination)
        )
    };
    Words {
        clause: "check coverage-lost: what could be read stays readable".to_owned(),
        title: format!(
            "{what}: {} connections within 10 min were {}; {} had been read, the last {} ago",
            turned.dark,
            turned.kind,
            turned.read,
            span(turned.since_read_us / 1_000_000)
        ),
        normal: "its connections are read, as they were within the last day".to_owned(),
        action: "See `bailiwick coverage`: whether it was updated or replaced, and now has a TLS library that is not \
                 probed, and who changed it. Until it can be read, what its credentials are used for is not seen."
            .to_owned(),
        // Impair Defenses.
        techniques: &["T1562"],
    }
}
