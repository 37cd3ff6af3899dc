//! `bailiwick page`: the address of the live view, with what opens it.

use std::io;
use std::path::Path;

use serde_json::json;

use super::args::Form;
use super::configuration;
use super::exit::{Exit, Failure};
use super::out::{Out, note};
use crate::listening::Listen;
use crate::page::Token;

/// Prints it. The token stands behind `#`: a browser sends that part to nobody.
pub(super) fn address(file: Option<&Path>, out: &mut Out) -> Result<Exit, Failure> {
    let config = configuration(file)?;
    let Some(listen) = &config.page.listen else {
        return Err(
            Failure::new(Exit::Unavailable, "no page is configured").hint(
                "put [page] and listen = \"127.0.0.1:9465\" into the configuration and restart the daemon",
            ),
        );
    };
    let token = Token::read(&config.runtime_dir).map_err(|failed| {
        let (exit, hint) = match failed.error.kind() {
            io::ErrorKind::PermissionDenied => (
                Exit::NoPermission,
                "only the user the daemon runs as, and root, may: run it with sudo",
            ),
            io::ErrorKind::NotFound => (
                Exit::Unavailable,
                "the daemon makes it when it starts with [page] listen: `systemctl restart bailiwick`",
            ),
            _ => (
                Exit::NoPermission,
                "run this as the user the daemon runs as: `sudo -u bailiwick bailiwick page`",
            ),
        };
        Failure::new(exit, failed.to_string()).hint(hint)
    })?;
    let at = match listen {
        Listen::Inet(address) if address.ip().is_unspecified() => {
            format!("localhost:{}", address.port())
        }
        Listen::Inet(address) => address.to_string(),
        Listen::Unix(_) => "localhost:9465".to_owned(),
    };
    let url = format!("http://{at}/#token={}", token.expose());
    match out.form {
        Form::Json | Form::Sarif | Form::Html => {
            out.line(
                &json!({"type": "page", "v": 1, "url": url, "listen": listen.to_string()})
                    .to_string(),
            )?;
        }
        Form::Compact => out.line(&url)?,
    }
    if let Listen::Unix(path) = listen {
        note(&format!(
            "a browser gets at a unix socket through: ssh -L 9465:{} HOST",
            path.display()
        ));
    }
    Ok(Exit::Success)
}
