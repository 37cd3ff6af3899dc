//! What an access did: which duties it exercised, on which objects.

use std::sync::Arc;

use super::acts::Deed;
use super::rules;
use crate::access::Access;
use crate::policy::path::Reading;
use crate::policy::{Identity, Policy, Request};

/// What stands in a path where a secret was.
const SECRET: &str = "{secret}";

/// The duties of `identity` in `bits`, with what the operations that grant the access captured.
pub(super) fn deeds(
    policy: &Policy,
    identity: &Identity,
    bits: u128,
    access: &Access,
    (path, mcp): (&Reading, Option<&Reading>),
) -> Box<[Deed]> {
    let request = Request::new(&access.method, &access.host, &access.peer, path);
    let operation = mcp.map(|mcp| request.as_mcp(mcp));
    let mut deeds = Vec::with_capacity(1);
    for (at, id) in identity.duties.iter().enumerate() {
        let Some(duty) = policy.duty(*id).filter(|_| bits & rules::bit(at) != 0) else {
            continue;
        };
        let granting = duty.operations.iter().find_map(|own| {
            if own.matches(&request) {
                return Some((own, path));
            }
            let mcp = mcp?;
            operation
                .as_ref()
                .is_some_and(|operation| own.matches(operation))
                .then_some((own, mcp))
        });
        let Some((operation, path)) = granting else {
            continue;
        };
        let captured = operation.captures().filter_map(|name| {
            let value = String::from_utf8_lossy(operation.capture(name, path)?);
            // Where a secret stood, objects cannot be told apart.
            (!value.contains(SECRET)).then(|| (Arc::clone(name), Box::from(&*value)))
        });
        deeds.push(Deed {
            duty: Arc::clone(&duty.name),
            captures: captured.collect(),
        });
    }
    deeds.into()
}

/// Whether the server did what was asked, as far as is known.
pub(in crate::judge) fn was_done(access: &Access) -> bool {
    access.status.is_none_or(|status| status < 400)
        && access.grpc_status.is_none_or(|status| status == 0)
}
