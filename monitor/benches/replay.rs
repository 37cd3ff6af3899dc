//! How fast recorded accesses are judged: accesses a second on one core, from accesses as they are in memory, and
//! from lines of JSON.
//!
//! `cargo bench -p bailiwick --bench replay` measures; it fails below 1,000,000 accesses a second from memory.

#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]
#![allow(clippy::print_stdout, reason = "its figures are its output")]

use std::sync::Arc;
use std::time::Instant;

use bailiwick::access::record::{AccessRecord, rfc3339};
use bailiwick::access::{Access, FingerprintKey};
use bailiwick::policy::load_text;
use bailiwick::replay::{Format, Item, Reader, Replay, Rules};

const MONDAY: i64 = 1_795_392_000_000_000;
/// Accesses of one recording.
const COUNT: usize = 200_000;
const IDENTITIES: usize = 500;
const STEP_US: i64 = 200_000;
const GOAL: f64 = 1_000_000.0;

const POLICY: &str = "version = 1\n[environments]\nprod = [\"api.example\"]\n[duties]\n\
    read = [\"GET api.example/v1/**\"]\n[identities.robot-1]\nowner = \"ops\"\n\
    credentials = [\"basic:user=robot-1\"]\nduties = [\"read\"]\nenvironments = [\"prod\"]\n";

fn lines() -> Vec<String> {
    let key = FingerprintKey::new([1; 32]);
    let line = |n: usize| {
        let who = (n * 7919) % IDENTITIES;
        let kind = (n / IDENTITIES) % 12;
        let name = format!("robot-{who}");
        let print = key.fingerprint(name.as_bytes());
        let time = rfc3339(MONDAY + STEP_US * i64::try_from(n).unwrap());
        format!(
            r#"{{"type":"access","v":1,"time":"{time}","role":"client","identity":"{name}","owner":null,"credential":{{"kind":"bearer","fingerprint":"{print}","hint":null}},"binding":null,"client":{{"pid":{},"exe":"/usr/lib/app/bin/worker{}","unit":"app{}.service","container":null,"user":"app","lineage":["/usr/lib/systemd/systemd"]}},"server":null,"peer":"192.0.{}.1:443","protocol":"h2","tls":{{"version":"1.3","sni":"api.example","alpn":"h2","via":"keys","ja4":"t13d1516h2_8daaf6152771_02713d6af862"}},"request":{{"method":"GET","host":"api.example","path":"/v1/things/{n}/part{kind}","route":"/v1/things/{{id}}/part{kind}"}},"response":{{"status":200}},"duration_us":1200,"environment":null,"duties":[],"findings":[]}}"#,
            1000 + who,
            who % 20,
            who % 20,
            who % 30,
        )
    };
    (0..COUNT).map(line).collect()
}

fn rules() -> Rules {
    let key = FingerprintKey::new([1; 32]);
    Rules {
        policy: Arc::new(load_text("policy.toml", POLICY, &key).unwrap().policy),
        judge: bailiwick::judge::Settings::default(),
        baseline: bailiwick::baseline::Settings::default(),
        fold_window_us: 86_400_000_000,
    }
}

fn access(reader: &mut Reader, line: &str) -> Box<Access> {
    match reader.read(Format::Accesses, line.as_bytes()).unwrap() {
        Item::Access(access) => access,
        other => panic!("{other:?}"),
    }
}

fn main() {
    let lines = lines();
    let bytes: usize = lines.iter().map(String::len).sum();
    serde_json::from_str::<AccessRecord>(lines.first().unwrap()).unwrap();
    let mut best = [0.0_f64; 2];
    for _ in 0..3 {
        let mut reader = Reader::default();
        let mut accesses: Vec<Box<Access>> =
            lines.iter().map(|line| access(&mut reader, line)).collect();
        let mut replay = Replay::new(&rules());
        let begin = Instant::now();
        for access in &mut accesses {
            replay.take(access);
        }
        let outcome = replay.end();
        let rate = COUNT as f64 / begin.elapsed().as_secs_f64();
        best[0] = best[0].max(rate);
        assert_eq!(outcome.summary.accesses, COUNT as u64);

        let mut reader = Reader::default();
        let mut replay = Replay::new(&rules());
        let begin = Instant::now();
        for line in &lines {
            replay.take(&mut access(&mut reader, line));
        }
        let _ = replay.end();
        best[1] = best[1].max(COUNT as f64 / begin.elapsed().as_secs_f64());
    }
    println!("from memory: {:.0} accesses/s", best[0]);
    println!(
        "from JSON:   {:.0} accesses/s, {:.0} bytes a line",
        best[1],
        bytes as f64 / COUNT as f64
    );
    assert!(best[0] >= GOAL, "below {GOAL} accesses/s");
}
