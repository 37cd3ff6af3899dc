//! Stored credential: one that is in use lies beside the code of a workload, or in its environment. Like coverage
//! lost it is about no access: the background scan finds it (`daemon::stored`).

use super::Words;
use super::words::Quoted;

/// Where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lies<'a> {
    /// In a file of the working directory.
    File {
        /// As the workload's own root has it.
        path: &'a str,
        /// From 1.
        line: u64,
    },
    /// In a variable of the environment.
    Variable {
        /// Its name; the value is the secret.
        name: &'a str,
    },
}

/// What is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// `unit:…`, `container:…` or `exe:…` beside whose code, or in whose environment, it lies.
    pub workload: &'a str,
    /// Who uses it.
    pub identity: &'a str,
    /// Where it is used.
    pub environments: &'a [String],
    /// Where it lies.
    pub lies: Lies<'a>,
}

/// Puts it into words.
#[must_use]
pub fn words(stored: &Stored<'_>) -> Words {
    let Stored {
        workload,
        identity,
        environments,
        lies,
    } = *stored;
    let live = if environments.is_empty() {
        String::new()
    } else {
        format!(" in {}", Quoted(&environments.join(", ")))
    };
    let (identity, workload) = (Quoted(identity), Quoted(workload));
    match lies {
        Lies::File { path, line } => Words {
            // The file is part of what folds: each is mended for itself.
            clause: format!("check stored-credential: no credential in use beside code ({})", Quoted(path)),
            title: format!(
                "a credential that {identity} uses{live} is stored beside the code of {workload}: {}:{line}",
                Quoted(path)
            ),
            normal: "it is in a file of its own that the policy names, or comes from the service manager or a secret store"
                .to_owned(),
            action: "Replace the credential at its issuer: whoever could read the code has it, and so has each copy and \
                     backup. Then take it out of the file and pass it by LoadCredential= or a secret store."
                .to_owned(),
            // Unsecured Credentials: Credentials In Files.
            techniques: &["T1552.001"],
        },
        Lies::Variable { name } => Words {
            clause: format!("check stored-credential: no credential in use in an environment ({})", Quoted(name)),
            title: format!(
                "a credential that {identity} uses{live} is in the environment of {workload}: variable {}",
                Quoted(name)
            ),
            normal: "it is read from a file, or comes from the service manager or a secret store".to_owned(),
            action: "Pass it by a file that only this user reads (LoadCredential=): an environment is handed to every \
                     program that is started, and ends up in dumps and logs."
                .to_owned(),
            techniques: &["T1552"],
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_place_and_where_it_is_live() {
        let environments = ["prod".to_owned()];
        let mut stored = Stored {
            workload: "unit:web.service",
            identity: "pay-writer",
            environments: &environments,
            lies: Lies::File {
                path: "/srv/web/.env",
                line: 3,
            },
        };
        let words = super::words(&stored);
        assert_eq!(
            words.title,
            "a credential that pay-writer uses in prod is stored beside the code of unit:web.service: /srv/web/.env:3"
        );
        stored.lies = Lies::Variable { name: "API_KEY" };
        let other = super::words(&stored);
        assert_eq!(
            other.title,
            "a credential that pay-writer uses in prod is in the environment of unit:web.service: variable API_KEY"
        );
        assert_ne!(words.clause, other.clause);
    }
}
