//! `high-value`: the destinations that are worth most. `bailiwick check` looks at who can reach them.

use std::sync::Arc;

use super::compile::Compiler;
use super::environment::Destination;
use super::error::Place;
use super::model::Texts;

/// One destination of `high-value`.
#[derive(Clone, Debug)]
pub struct HighValue {
    /// As it is written: a host, `*.suffix`, CIDR or `unix:PATH`.
    pub text: Arc<str>,
    /// What it means.
    pub(crate) destination: Destination,
    /// Where it stands.
    pub place: Place,
}

impl Compiler<'_> {
    pub(super) fn high_value(&mut self, texts: &Texts) {
        for text in texts {
            match Destination::parse(&text.value) {
                Ok(destination) => self.policy.high_value.push(HighValue {
                    text: text.value.trim().into(),
                    destination,
                    place: text.place.clone(),
                }),
                Err(fault) => self.out.fault(&text.place, "high-value", fault),
            }
        }
    }
}
