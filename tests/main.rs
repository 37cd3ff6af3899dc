//! End to end: real programs on the real kernel. One file a theme.

mod audit;
mod bad_input;
mod baseline;
mod bulk;
mod clients;
mod contain;
mod coverage;
mod drill;
mod expect;
mod fallback;
mod flood;
mod http2;
mod key_log;
mod keys;
mod learn;
mod lifecycle;
mod metrics;
mod netns;
mod page;
mod page_states;
mod pictures;
mod policy;
mod privileges;
mod remote;
mod replay;
mod report;
mod secrets;
mod separation;
mod split;
mod stored;
mod systemd;
mod tls;
mod tmux;
mod top;
mod tunnel;
mod unix;

use std::process::ExitCode;

use libtest_mimic::{Arguments, run};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Each test watches the whole host: side by side they would measure each other.
    arguments.test_threads = Some(1);
    let trials = [
        systemd::trials(),
        clients::trials(),
        unix::trials(),
        keys::trials(),
        key_log::trials(),
        fallback::trials(),
        tls::trials(),
        bulk::trials(),
        http2::trials(),
        tunnel::trials(),
        netns::trials(),
        remote::trials(),
        coverage::trials(),
        split::trials(),
        lifecycle::trials(),
        policy::trials(),
        report::trials(),
        separation::trials(),
        baseline::trials(),
        secrets::trials(),
        stored::trials(),
        bad_input::trials(),
        privileges::trials(),
        flood::trials(),
        drill::trials(),
        contain::trials(),
        learn::trials(),
        metrics::trials(),
        page::trials(),
        page_states::trials(),
        top::trials(),
        tmux::trials(),
        replay::trials(),
        audit::trials(),
    ];
    run(&arguments, trials.into_iter().flatten().collect()).exit_code()
}
