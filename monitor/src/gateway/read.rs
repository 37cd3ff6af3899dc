//! From a file of some gateway to what it decides.

use super::gate::{Gate, Remarks};
use super::{LARGEST_FILE, envoy, istio, nginx, yaml};

/// Formats that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Envoy: a bootstrap, a filter, or its rules.
    EnvoyRbac,
    /// Istio: AuthorizationPolicies.
    Istio,
    /// nginx.
    Nginx,
}

/// Why a file is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// More than [`LARGEST_FILE`].
    #[error("{file}: more than {LARGEST_FILE} bytes")]
    TooLarge {
        /// Its name.
        file: String,
    },
    /// No YAML.
    #[error("{file}:{line}: not YAML: {problem}")]
    Yaml {
        /// Its name.
        file: String,
        /// Line from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// No configuration of nginx.
    #[error("{0}")]
    Nginx(#[from] nginx::SyntaxError),
    /// No format was recognised.
    #[error(
        "{file}: neither Envoy's RBAC nor Istio's AuthorizationPolicy nor a configuration of nginx"
    )]
    Unknown {
        /// Its name.
        file: String,
    },
}

/// Reads a gateway's file; without a format it is found out. `files` gives what an nginx configuration includes.
///
/// # Errors
/// When it cannot be read as that, or as any.
pub fn read(
    file: &str,
    text: &str,
    format: Option<Format>,
    files: &dyn nginx::Files,
) -> Result<Gate, ReadError> {
    detect(file, text, format, files).map(|(_, gate)| gate)
}

/// As [`read`], with the format.
///
/// # Errors
/// As [`read`].
pub fn detect(
    file: &str,
    text: &str,
    format: Option<Format>,
    files: &dyn nginx::Files,
) -> Result<(Format, Gate), ReadError> {
    if text.len() > LARGEST_FILE {
        return Err(ReadError::TooLarge {
            file: file.to_owned(),
        });
    }
    let remarks = || Remarks {
        file: file.to_owned(),
        ..Remarks::default()
    };
    let (format, documents) = match format {
        Some(Format::Nginx) => (Format::Nginx, Vec::new()),
        _ => match (yaml::parse(text), format) {
            (Ok(documents), format) => {
                let format = format.map_or_else(|| found(file, text, &documents), Ok)?;
                (format, documents)
            }
            (Err(error), Some(_)) => {
                return Err(ReadError::Yaml {
                    file: file.to_owned(),
                    line: error.line,
                    problem: error.problem,
                });
            }
            (Err(_), None) => (found(file, text, &[])?, Vec::new()),
        },
    };
    let gate = match format {
        Format::Nginx => nginx::read(text, files, remarks())?,
        Format::Istio => istio::read(&documents, remarks()),
        Format::EnvoyRbac => envoy::read(&snake(documents), remarks()),
    };
    Ok((format, gate))
}

fn snake(mut documents: Vec<yaml::Node>) -> Vec<yaml::Node> {
    documents.iter_mut().for_each(yaml::Node::snake);
    documents
}

/// Which format a file has.
fn found(file: &str, text: &str, documents: &[yaml::Node]) -> Result<Format, ReadError> {
    if istio::found(documents) {
        return Ok(Format::Istio);
    }
    if envoy::found(&snake(documents.to_vec())) {
        return Ok(Format::EnvoyRbac);
    }
    let known = |name: &str| {
        matches!(
            name,
            "http" | "server" | "location" | "map" | "events" | "return" | "if" | "include"
        )
    };
    match nginx::parse(file, text) {
        Ok(all) if all.iter().any(|directive| known(&directive.name)) => Ok(Format::Nginx),
        // Braces: it was meant to be one.
        Err(error) if text.contains("server {") || text.contains("http {") => Err(error.into()),
        _ => Err(ReadError::Unknown {
            file: file.to_owned(),
        }),
    }
}
