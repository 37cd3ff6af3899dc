//! Completion scripts and manual pages, from the command line's own definition.

use std::fs;
use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_mangen::Man;

use super::args::Cli;
use super::exit::{Exit, Failure};
use super::out::Out;

pub(super) fn completions(shell: clap_complete::Shell, out: &mut Out) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bailiwick", &mut script);
    out.raw(&script)
}

fn page(command: clap::Command, name: &str) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    // The name is also the title, and clap wants it to live for ever; there are a dozen.
    let name: &'static str = name.to_owned().leak();
    Man::new(command.name(name).display_name(name)).render(&mut page)?;
    Ok(page)
}

/// All pages: name and content.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut root = Cli::command();
    root.build();
    let mut out = vec![("bailiwick".to_owned(), page(root.clone(), "bailiwick")?)];
    let mut rest: Vec<(String, clap::Command)> = root
        .get_subcommands()
        .map(|command| ("bailiwick".to_owned(), command.clone()))
        .collect();
    while let Some((parent, command)) = rest.pop() {
        if command.get_name() == "help" || command.is_hide_set() {
            continue;
        }
        let name = format!("{parent}-{}", command.get_name());
        rest.extend(
            command
                .get_subcommands()
                .map(|below| (name.clone(), below.clone())),
        );
        out.push((name.clone(), page(command, &name)?));
    }
    out.sort();
    Ok(out)
}

pub(super) fn man(command: Option<&str>, dir: Option<&Path>, out: &mut Out) -> Result<(), Failure> {
    let pages = pages()?;
    if let Some(dir) = dir {
        for (name, page) in pages {
            let path = dir.join(format!("{name}.1"));
            fs::write(&path, page).map_err(|error| {
                Failure::new(Exit::Unavailable, format!("{}: {error}", path.display()))
                    .hint("name a directory that you may write to")
            })?;
        }
        return Ok(());
    }
    let wanted = command.map_or_else(
        || "bailiwick".to_owned(),
        |name| format!("bailiwick-{name}"),
    );
    match pages.into_iter().find(|(name, _)| *name == wanted) {
        Some((_, page)) => out.raw(&page),
        None => Err(Failure::new(
            Exit::Usage,
            format!("there is no command {}", command.unwrap_or("")),
        )
        .hint("`bailiwick help` lists them")),
    }
}
