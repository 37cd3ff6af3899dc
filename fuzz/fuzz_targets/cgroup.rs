#![no_main]
//! Any `/proc/PID/cgroup`, and any path below a container and below a service.

use bailiwick::access::workload::Cgroup;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let found = Cgroup::from_proc(data);
    assert!(found.unit.is_none_or(|unit| unit.len() <= 511));
    assert!(found.container.is_none_or(|name| name.len() <= 3 * 255));
    let path = String::from_utf8_lossy(data);
    let _ = Cgroup::from_path(&path);
    let id = "4c01db0b339c0d5e1f6a7b8c9d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f7081920";
    let inside = Cgroup::from_path(&format!("/system.slice/docker-{id}.scope/{path}"));
    assert_eq!((inside.unit, inside.container.as_deref()), (None, Some(id)));
    let below = Cgroup::from_path(&format!("/system.slice/ci.service/{path}"));
    assert_eq!(below.unit.as_deref(), Some("ci.service"));
});
