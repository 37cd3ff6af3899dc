//! Where bytes come from: the live kernel.
