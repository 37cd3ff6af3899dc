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
    pub(super) fn new(rules: &'a Rules, head: &RequestHead<'a>) -> Self {
        let mut fields = Self::default();
        for header in head.headers {
            let Some(field) = rules.header(header.name) else {
                continue;
            };
            let value = header.value.trim_ascii();
            let full = match field {
                Field::Host => {
                    match fields.host {
                        None => fields.host = Some(value),
                        // Which of them a server goes by is its own affair.
                        Some(first) => fields.hosts_differ |= !first.eq_ignore_ascii_case(value),
                    }
                    false
                }
                Field::Cookie => fields.cookies.try_push(value).is_err(),
                Field::Proof => {
                    let _ = fields.proofs.try_push(value);
                    false
                }
                Field::ContentType => {
                    fields.said.grpc |= value.starts_with(b"application/grpc");
                    false
                }
                Field::McpMethod => {
                    fields.said.method.add(value);
                    false
                }
                Field::McpName => {
                    fields.said.name.add(value);
                    false
                }
                Field::Rules(ids) => {
                    let name = header.name.as_bytes();
                    if name.eq_ignore_ascii_case(b"authorization") {
                        fields.authorization.try_push((value, ids)).is_err()
                    } else if name.eq_ignore_ascii_case(b"proxy-authorization") {
                        fields.proxy.try_push((value, ids)).is_err()
                    } else {
                        fields.other.try_push((value, ids)).is_err()
                    }
                }
            };
            fields.beyond = fields.beyond.saturating_add(u32::from(full));
        }
        fields
    }
}
