//! What the mappings of foreign logs have in common.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{Item, Reader, Refusal};
use crate::access::{Access, Claims, Credential, CredentialKind, FingerprintKey, Peer, Role, Tls};
use crate::judge::FindingSet;
use crate::replay::shared::LONGEST;

/// Foreign logs name who asked, and no secret: fingerprints are of the name, by a key that everybody knows.
const KEY: [u8; 32] = *b"fingerprints of names, no secret";

/// What a foreign record says.
pub(super) struct Foreign<'a> {
    pub(super) time_us: i64,
    pub(super) kind: CredentialKind,
    /// Whose request it was, as an identity without a policy is called.
    pub(super) name: &'a str,
    /// What the policy's selectors look at: user, key id, subject.
    pub(super) subject: &'a str,
    /// Of a token.
    pub(super) issuer: Option<&'a str>,
    /// The other end, which is the client: an address, with or without a port.
    pub(super) from: Option<&'a str>,
    pub(super) method: &'a str,
    pub(super) host: &'a str,
    /// With or without a query.
    pub(super) path: &'a str,
    pub(super) protocol: &'static str,
    pub(super) status: Option<u16>,
    pub(super) grpc_status: Option<u32>,
    pub(super) duration_us: Option<u64>,
    pub(super) tls: Option<&'a str>,
}

impl Reader {
    /// The access that it tells of. How it came over the network is not known: nothing is concluded from that.
    pub(super) fn foreign(&mut self, said: &Foreign<'_>) -> Result<Item, Refusal> {
        let path = said.path.split(['?', '#']).next().unwrap_or_default();
        let texts = [said.name, said.subject, said.method, said.host, path];
        let optional = [said.issuer, said.from, said.tls].into_iter().flatten();
        if texts
            .into_iter()
            .chain(optional)
            .any(|text| text.len() > LONGEST)
        {
            return Err(Refusal::TooLong);
        }
        if said.method.is_empty() || path.is_empty() {
            return Err(Refusal::Fields);
        }
        let shared = &mut self.shared;
        let print = FingerprintKey::new(KEY).fingerprint(said.name.as_bytes());
        let name = shared.text(said.name);
        let credential = shared.one_credential(print, said.kind, &name, || Credential {
            kind: said.kind,
            fingerprint: print,
            hint: None,
            claims: Claims {
                issuer: said.issuer.map(Into::into),
                subject: Some(said.subject.into()),
                ..Claims::default()
            },
            default_identity: Arc::clone(&name),
        });
        let host = shared.text(&said.host.to_ascii_lowercase());
        let route = self.router.route(&host, path);
        let tls = Tls {
            version: said.tls.map(str::to_owned),
            sni: None,
            alpn: None,
            via: "log".to_owned(),
            ja4: None,
        };
        Ok(Item::Access(Box::new(Access {
            time_us: said.time_us,
            role: Role::Server,
            credential: Some(credential),
            location: None,
            proof: None,
            identity: None,
            owner: None,
            client: None,
            server: None,
            peer: said.from.and_then(peer).unwrap_or(Peer::Unknown),
            local: false,
            protocol: said.protocol,
            method: shared.text(said.method),
            host,
            path: path.to_owned(),
            route,
            status: said.status,
            grpc_status: said.grpc_status,
            duration_us: said.duration_us,
            environment: None,
            duties: Arc::from([]),
            findings: FindingSet::default(),
            tls: Some(shared.tls(Arc::new(tls))),
            resynchronised: false,
            unknown_fields: 0,
        })))
    }
}

/// An address with or without a port.
fn peer(text: &str) -> Option<Peer> {
    let address = text.parse::<SocketAddr>().ok();
    let bare = || text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0));
    address.or_else(bare).map(Peer::Inet)
}

/// A version of HTTP as logs write it.
pub(super) fn protocol(text: &str) -> &'static str {
    match text {
        "HTTP/2" | "HTTP/2.0" | "HTTP/3" | "HTTP/3.0" => "h2",
        "HTTP/1.0" => "http/1.0",
        _ => "http/1.1",
    }
}
