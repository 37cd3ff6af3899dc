//! `[page]` of the configuration.

use crate::metrics::Listen;

/// Where the page is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// `None`: nowhere.
    pub listen: Option<Listen>,
    /// Whether `listen` may be an address that other hosts reach.
    pub allow_remote: bool,
}

impl Page {
    /// Parses `listen`.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn parse(text: &str) -> Result<Listen, (String, String)> {
        Listen::parse(text).map_err(|(problem, _)| {
            let hint = "\"127.0.0.1:9465\", \"[::1]:9465\" or \"unix:/run/bailiwick/page.sock\"";
            (problem, hint.to_owned())
        })
    }

    /// Checks what one key alone cannot tell.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn check(&self) -> Result<(), (String, String)> {
        match &self.listen {
            Some(listen) if !listen.is_local() && !self.allow_remote => Err((
                format!("[page] would listen at {listen}, which other hosts reach"),
                "listen at 127.0.0.1, [::1] or a unix socket, or say allow_remote = true"
                    .to_owned(),
            )),
            _ => Ok(()),
        }
    }
}
