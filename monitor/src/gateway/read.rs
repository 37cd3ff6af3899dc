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
    #[error("{file}: neither Envoy's RBAC nor Istio's AuthorizationPolicy nor a configuration of nginx")]
    Unknown {
        /// Its name.
        file: String,
    },
}

/// Reads a gateway's file; without a format it is found out. `files` gives what an nginx configuration includes.
///
/// # Errors
/// When it cannot be read as that, or as any.
pub fn read(file: &str, text: &str, format: Option<Format>, files: &dyn nginx::Files) -> Result<Gate, ReadError> {
    if text.len() > LARGEST_FILE {
        return Err(ReadError::TooLarge { file: file.to_owned() });
    }
    let remarks = || Remarks { file: file.to_owned(), ..Remarks::default() };
    let documents = yaml::parse(text).map(|mut documents| {
        let istio = istio::found(&documents);
        if format == Some(Format::EnvoyRbac) || !istio {
            documents.iter_mut().for_each(yaml::Node::snake);
        }
        (documents, istio)
    });
    match (format, documents) {
        (Some(Format::Nginx), _) => Ok(nginx::read(text, files, remarks())?),
        (Some(Format::Istio), Ok((documents, _))) => Ok(istio::read(&documents, remarks())),
        (Some(Format::EnvoyRbac), Ok((documents, _))) => Ok(envoy::read(&documents, remarks())),
        (None, Ok((documents, true))) => Ok(istio::read(&documents, remarks())),
        (None, Ok((documents, false))) if envoy::found(&documents) => Ok(envoy::read(&documents, remarks())),
        (Some(_), Err(error)) => {
            Err(ReadError::Yaml { file: file.to_owned(), line: error.line, problem: error.problem })
        }
        (None, _) => {
            let directives = nginx::parse(file, text);
            let known = |name: &str| matches!(name, "http" | "server" | "location" | "map" | "events" | "return" | "if" | "include");
            match directives {
                Ok(all) if all.iter().any(|directive| known(&directive.name)) => Ok(nginx::read(text, files, remarks())?),
                // Braces and semicolons: it was meant to be one.
                Err(error) if text.contains("server {") || text.contains("http {") => Err(error.into()),
                _ => Err(ReadError::Unknown { file: file.to_owned() }),
            }
        }
    }
}
