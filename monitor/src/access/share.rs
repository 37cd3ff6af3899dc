//! Writing over what shares its parts.
//!
//! Traffic repeats itself: where one access is written over another, host, workload and route are mostly the same
//! allocations. Then their reference counts are left alone, since each change of one is an atomic operation.

use std::sync::Arc;

use super::{Access, Endpoint};

/// Makes `slot` the same allocation as `value`.
pub(crate) fn share<T: ?Sized>(slot: &mut Arc<T>, value: &Arc<T>) {
    if !Arc::ptr_eq(slot, value) {
        *slot = Arc::clone(value);
    }
}

/// As [`share`], for what may be missing.
pub(crate) fn share_some<T: ?Sized>(slot: &mut Option<Arc<T>>, value: Option<&Arc<T>>) {
    match (slot.as_mut(), value) {
        (Some(slot), Some(value)) => share(slot, value),
        (None, None) => {}
        _ => *slot = value.cloned(),
    }
}

/// As [`share`], for an end of a connection.
pub(crate) fn share_end(slot: &mut Option<Endpoint>, value: &Option<Endpoint>) {
    match (slot.as_mut(), value) {
        (Some(slot), Some(value)) => {
            slot.pid = value.pid;
            share(&mut slot.workload, &value.workload);
        }
        (None, None) => {}
        _ => slot.clone_from(value),
    }
}

impl Access {
    /// Becomes what `from` is. Its buffers and whatever both share stay as they are.
    pub(crate) fn overwrite(&mut self, from: &Self) {
        let Self {
            time_us,
            role,
            credential,
            location,
            proof,
            identity,
            owner,
            client,
            server,
            peer,
            local,
            protocol,
            method,
            host,
            path,
            route,
            status,
            grpc_status,
            duration_us,
            environment,
            duties,
            findings,
            tls,
            resynchronised,
            unknown_fields,
        } = self;
        *time_us = from.time_us;
        *role = from.role;
        share_some(credential, from.credential.as_ref());
        *location = from.location;
        proof.clone_from(&from.proof);
        share_some(identity, from.identity.as_ref());
        share_some(owner, from.owner.as_ref());
        share_end(client, &from.client);
        share_end(server, &from.server);
        peer.clone_from(&from.peer);
        *local = from.local;
        *protocol = from.protocol;
        share(method, &from.method);
        share(host, &from.host);
        path.clone_from(&from.path);
        share(route, &from.route);
        *status = from.status;
        *grpc_status = from.grpc_status;
        *duration_us = from.duration_us;
        share_some(environment, from.environment.as_ref());
        share(duties, &from.duties);
        *findings = from.findings;
        share_some(tls, from.tls.as_ref());
        *resynchronised = from.resynchronised;
        *unknown_fields = from.unknown_fields;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Role;
    use crate::alert::testing::access;

    /// All of it, by its `Debug` form.
    fn all(access: &Access) -> String {
        format!("{access:?}")
    }

    #[test]
    fn nothing_of_what_was_there_stays() {
        let full = access(Some("ci-bot"), 7);
        let mut bare = access(None, 9);
        (bare.client, bare.server) = (None, full.client.clone());
        (bare.environment, bare.status) = (None, None);
        (bare.host, bare.path) = ("other".into(), "/other".to_owned());
        bare.role = Role::Server;
        let mut place = full.clone();
        for from in [&bare, &full, &full, &bare, &bare] {
            place.overwrite(from);
            assert_eq!(all(&place), all(from));
        }
    }

    #[test]
    fn what_is_the_same_keeps_its_count() {
        let one = access(Some("ci-bot"), 7);
        let mut place = one.clone();
        let count = Arc::strong_count(&one.host);
        place.overwrite(&one);
        assert_eq!(Arc::strong_count(&one.host), count);
        assert!(Arc::ptr_eq(&place.host, &one.host));
    }
}
