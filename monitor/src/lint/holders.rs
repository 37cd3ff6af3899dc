//! Who holds what.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::policy::{DutyId, Identity, Policy};

/// One owner with all identities.
#[derive(Clone, Debug)]
pub struct Owner<'p> {
    /// Name.
    pub name: &'p Arc<str>,
    /// In the order of the policy.
    pub identities: Vec<&'p Arc<Identity>>,
}

impl<'p> Owner<'p> {
    /// The first identity by which the owner holds the duty.
    #[must_use]
    pub fn holds(&self, duty: DutyId) -> Option<&'p Arc<Identity>> {
        self.identities
            .iter()
            .find(|identity| identity.duties.contains(&duty))
            .copied()
    }
}

/// All owners of a policy.
#[derive(Clone, Debug)]
pub struct Holders<'p> {
    owners: Vec<Owner<'p>>,
}

impl<'p> Holders<'p> {
    /// Owners in the order in which the policy names them.
    #[must_use]
    pub fn of(policy: &'p Policy) -> Self {
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut owners: Vec<Owner<'p>> = Vec::new();
        for identity in policy.identities() {
            let at = *places.entry(&identity.owner).or_insert(owners.len());
            match owners.get_mut(at) {
                Some(owner) => owner.identities.push(identity),
                None => owners.push(Owner {
                    name: &identity.owner,
                    identities: vec![identity],
                }),
            }
        }
        Self { owners }
    }

    /// All owners.
    #[must_use]
    pub fn owners(&self) -> &[Owner<'p>] {
        &self.owners
    }

    /// Owners that hold a duty.
    pub fn of_duty(&self, duty: DutyId) -> impl Iterator<Item = &Owner<'p>> {
        self.owners
            .iter()
            .filter(move |owner| owner.holds(duty).is_some())
    }
}
