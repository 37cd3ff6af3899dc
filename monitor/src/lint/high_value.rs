//! SOD008: reading and writing of a high-value host in one hand.

use super::{Level, Lint, LintFinding, Owner, codes};
use crate::policy::{HighValue, Identity, Policy, Witness};

const READS: &str = "GET,HEAD";
const WRITES: &str = "POST,PUT,PATCH,DELETE";

pub(super) fn find(lint: &mut Lint<'_>) {
    let mut found = Vec::new();
    for destination in lint.policy.high_value() {
        for owner in lint.holders.owners() {
            let way = |methods| way(lint.policy, owner, methods, destination);
            let (Some((reader, read)), Some((writer, write))) = (way(READS), way(WRITES)) else {
                continue;
            };
            found.push(LintFinding {
                code: codes::HIGH_VALUE,
                level: Level::High,
                subject: owner.name.to_string(),
                message: format!(
                    "{} reads from and writes to {}",
                    owner.name, destination.text
                ),
                clause: format!("high-value = [\"{}\"]", destination.text),
                place: Some(destination.place.clone()),
                witness: Some(format!(
                    "{read} by {}, {write} by {}",
                    reader.name, writer.name
                )),
                change: format!(
                    "give {} reading or writing, and the other to another owner",
                    owner.name
                ),
                accepted: None,
            });
        }
    }
    found.into_iter().for_each(|finding| lint.push(finding));
}

/// A request of the owner's to the destination.
fn way<'p>(
    policy: &Policy,
    owner: &Owner<'p>,
    methods: &str,
    destination: &HighValue,
) -> Option<(&'p Identity, Witness)> {
    owner.identities.iter().find_map(|identity| {
        let operations = identity
            .duties
            .iter()
            .filter_map(|id| policy.duty(*id))
            .flat_map(|duty| duty.operations.iter());
        operations
            .filter_map(|operation| operation.reaches(methods, &destination.destination))
            .next()
            .map(|witness| (&***identity, witness))
    })
}
