//! The header fields of a request that say who, where and what.

use arrayvec::ArrayVec;

use super::operation::Said;
use super::rules::{Field, Rules};
use crate::wire::RequestHead;

/// Header fields of one request that may carry a credential.
const MAX_FIELDS: usize = 16;

/// Fields of interest, by index; in order.
#[derive(Default)]
pub(super) struct Fields<'a> {
    pub(super) host: Option<&'a [u8]>,
    pub(super) hosts_differ: bool,
    pub(super) authorization: ArrayVec<(&'a [u8], &'a [u16]), 2>,
    pub(super) proxy: ArrayVec<(&'a [u8], &'a [u16]), 2>,
    pub(super) other: ArrayVec<(&'a [u8], &'a [u16]), MAX_FIELDS>,
    pub(super) cookies: ArrayVec<&'a [u8], MAX_FIELDS>,
    /// Fields `DPoP`: two are as bad as more.
    pub(super) proofs: ArrayVec<&'a [u8], 2>,
    pub(super) beyond: u32,
    pub(super) said: Said<'a>,
}

impl<'a> Fields<'a> {
    /// Reads a head into what was empty: it is too large to be handed back.
    pub(super) fn read(&mut self, rules: &'a Rules, head: &RequestHead<'a>) {
        for header in head.headers {
            let Some(field) = rules.header(header.name) else {
                continue;
            };
            let value = header.value.trim_ascii();
            let full = match field {
                Field::Host => {
                    match self.host {
                        None => self.host = Some(value),
                        // Which of them a server goes by is its own affair.
                        Some(first) => self.hosts_differ |= !first.eq_ignore_ascii_case(value),
                    }
                    false
                }
                Field::Cookie => self.cookies.try_push(value).is_err(),
                Field::Proof => {
                    let _ = self.proofs.try_push(value);
                    false
                }
                Field::ContentType => {
                    self.said.grpc |= value.starts_with(b"application/grpc");
                    false
                }
                Field::McpMethod => {
                    self.said.method.add(value);
                    false
                }
                Field::McpName => {
                    self.said.name.add(value);
                    false
                }
                Field::Rules(b"authorization", ids) => {
                    self.authorization.try_push((value, ids)).is_err()
                }
                Field::Rules(b"proxy-authorization", ids) => {
                    self.proxy.try_push((value, ids)).is_err()
                }
                Field::Rules(_, ids) => self.other.try_push((value, ids)).is_err(),
            };
            self.beyond = self.beyond.saturating_add(u32::from(full));
        }
    }
}
