//! What identities are allowed to do.
