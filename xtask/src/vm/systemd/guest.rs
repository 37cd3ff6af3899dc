//! The checks, in the machine: each line of output is one, in JSON.

mod checks;
mod tools;

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use crate::vm::record::END;

/// Runs every check in order, each on what the ones before left.
pub(crate) fn run(dir: &Path) {
    println!("about: {}", tools::about());
    let _server = tools::Server::start();
    let mut scene = checks::Scene::new(dir);
    for (name, check) in checks::ALL {
        println!("trying: {name}");
        tell(name, check(&mut scene));
    }
    println!("{END}");
}

fn tell(name: &str, result: Result<String>) {
    let (ok, detail) = match result {
        Ok(detail) => (true, detail),
        Err(error) => (false, format!("{error:#}")),
    };
    println!("{}", json!({"check": name, "ok": ok, "detail": detail}));
}
