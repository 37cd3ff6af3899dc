//! What a control group's path says of a process: systemd unit and container.
//!
//! The path is made by several parties, and not all of them are to be believed alike. From the root down:
//! slices belong to systemd; the first unit below them is what the service manager started; below that, names
//! are given by the unit itself (delegation), by a user's own manager, or by what runs in a container. So a
//! unit inside a container or inside a service is not a unit of this host, and a user's unit is named with
//! its manager (`user@1000.service/ci.service`): nobody becomes `ci.service` by calling himself so.

/// Unit and container of a control group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroup {
    /// Unit of the system manager (`ci.service`, `session-3.scope`), or of a user's
    /// (`user@1000.service/ci.service`). A container's scope is no unit.
    pub unit: Option<String>,
    /// Container id; the name of a systemd-nspawn or LXC container.
    pub container: Option<String>,
}

/// Longest name that is kept: systemd's own limit for units.
const MAX_NAME: usize = 255;
/// Lines of `/proc/PID/cgroup` that are looked at. There are about a dozen controllers.
const MAX_LINES: usize = 64;

impl Cgroup {
    /// Reads `/proc/PID/cgroup`: `0::PATH` (version 2) or a line for each hierarchy (version 1, or both).
    #[must_use]
    pub fn from_proc(content: &[u8]) -> Self {
        let text = String::from_utf8_lossy(content);
        let lines = || {
            text.lines().take(MAX_LINES).filter_map(|line| {
                let mut parts = line.splitn(3, ':');
                Some((parts.next()?, parts.next()?, parts.next()?))
            })
        };
        let mut found = Self::default();
        // systemd's own hierarchy knows the unit. Container runtimes without it use the others only.
        for (_, controllers, path) in lines() {
            if controllers == "name=systemd" {
                found.fill(Self::from_path(path));
            }
        }
        for (hierarchy, _, path) in lines() {
            if hierarchy == "0" {
                found.fill(Self::from_path(path));
            }
        }
        if found.container.is_none() {
            found.container = lines().find_map(|(_, _, path)| Self::from_path(path).container);
        }
        found
    }

    fn fill(&mut self, other: Self) {
        self.unit = self.unit.take().or(other.unit);
        self.container = self.container.take().or(other.container);
    }

    /// Reads a path below the hierarchy's root, e.g. `/system.slice/ci.service`.
    #[must_use]
    pub fn from_path(path: &str) -> Self {
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        let mut found = Self::default();
        // A user's manager may call things as it likes; only ids that nobody can want to wear are believed.
        let mut of_user = false;
        let mut parent = "";
        // Outside a namespace's root, paths begin with `/../`.
        let mut names = path
            .split('/')
            .filter(|name| !matches!(*name, "" | "." | ".."))
            .peekable();
        while let Some(raw) = names.next() {
            // systemd puts `_` before a name that would clash with a file of the kernel's.
            let name = raw.strip_prefix('_').unwrap_or(raw);
            if name.len() > MAX_NAME {
                break;
            }
            if let Some(container) = container(name, parent, names.peek().copied(), of_user) {
                found.container = Some(container);
                break;
            }
            if !name.ends_with(".slice") && is_unit(name) {
                match &mut found.unit {
                    None => {
                        of_user = name.starts_with("user@");
                        found.unit = Some(name.to_owned());
                    }
                    Some(manager) if of_user && !manager.contains('/') => {
                        manager.push('/');
                        manager.push_str(name);
                    }
                    Some(_) => {}
                }
            }
            parent = name;
        }
        found
    }
}

fn is_unit(name: &str) -> bool {
    const SUFFIXES: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];
    SUFFIXES.iter().any(|suffix| {
        name.strip_suffix(suffix)
            .is_some_and(|stem| !stem.is_empty())
    })
}

/// 64 hexadecimal digits: what every runtime gives its containers.
fn is_long_id(text: &str) -> bool {
    text.len() == 64 && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
}

/// The container that a name stands for.
fn container(name: &str, parent: &str, below: Option<&str>, of_user: bool) -> Option<String> {
    if is_long_id(name) {
        // cgroupfs drivers: /docker/ID, /kubepods/burstable/podUID/ID, /libpod_parent/ID, /actions_job/ID.
        return Some(name.to_owned());
    }
    // systemd-style names given to a cgroupfs driver: PARENT.slice:RUNTIME:ID.
    if let Some((front, id)) = name.rsplit_once(':')
        && front.contains(':')
        && (is_long_id(id) || (id.len() >= 12 && is_hex(id)))
    {
        return Some(id.to_owned());
    }
    let stem = name.strip_suffix(".scope").unwrap_or(name);
    // docker-ID.scope, cri-containerd-ID.scope, crio-ID.scope, libpod-ID.scope, libpod-payload-ID,
    // nerdctl-ID.scope. Beside some stands the process that watches the container: conmon is not inside.
    if let Some((runtime, id)) = stem.rsplit_once('-').or_else(|| stem.rsplit_once('_'))
        && is_long_id(id)
        && !runtime.is_empty()
        && !runtime.contains("conmon")
        && !name.ends_with(".slice")
        && !runtime.starts_with("libpod_pod")
    {
        return Some(id.to_owned());
    }
    // ECS on Fargate: /ecs/TASK/TASK-NUMBER.
    if let Some((task, number)) = stem.split_once('-')
        && task.len() == 32
        && is_hex(task)
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Some(name.to_owned());
    }
    if of_user {
        return None;
    }
    let named = if let Some(machine) = stem.strip_prefix("machine-").filter(|_| stem != name) {
        // systemd-machined also knows virtual machines: what runs there is the hypervisor.
        let machine = unescape(machine);
        (!machine.starts_with("qemu-")).then_some(machine)
    } else if let Some(machine) = name
        .strip_prefix("systemd-nspawn@")
        .and_then(|name| name.strip_suffix(".service"))
    {
        // systemd-nspawn itself is in `supervisor`.
        (below != Some("supervisor")).then(|| unescape(machine))
    } else if let Some(container) = name.strip_prefix("lxc.payload.") {
        Some(container.to_owned())
    } else if matches!(parent, "lxc" | "lxc.payload" | "buildkit") {
        Some(name.to_owned())
    } else {
        None
    };
    named.filter(|name| !name.is_empty())
}

/// Takes `\x2d` and the like out of a unit's name (systemd.unit(5), "String Escaping").
fn unescape(name: &str) -> String {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'\\'
            && let [b'x', high, low, after @ ..] = tail
            && let (Some(high), Some(low)) = (
                char::from(*high).to_digit(16),
                char::from(*low).to_digit(16),
            )
            && let Ok(byte) = u8::try_from(high << 4 | low)
        {
            out.push(byte);
            rest = after;
        } else {
            out.push(*first);
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "4c01db0b339c0d5e1f6a7b8c9d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f7081920";
    const OTHER: &str = "aaaadb0b339c0d5e1f6a7b8c9d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f7081920";

    fn path(path: &str) -> (Option<String>, Option<String>) {
        let found = Cgroup::from_path(&path.replace("ID", ID).replace("OTHER", OTHER));
        (found.unit, found.container)
    }

    #[test]
    fn paths() {
        for (text, unit, container) in [
            // Nothing to say.
            ("/", None, None),
            ("", None, None),
            ("/user.slice", None, None),
            ("/system.slice", None, None),
            ("/kubepods/burstable/pod1d2c", None, None),
            ("/some/thing", None, None),
            // systemd.
            ("/init.scope", Some("init.scope"), None),
            ("/system.slice/ci.service", Some("ci.service"), None),
            (
                "/system.slice/ci.service (deleted)",
                Some("ci.service"),
                None,
            ),
            (
                "/system.slice/system-getty.slice/getty@tty1.service",
                Some("getty@tty1.service"),
                None,
            ),
            ("/system.slice/ci.service/worker", Some("ci.service"), None),
            // A service names what is below it; that makes no unit of it.
            (
                "/system.slice/ci.service/deploy.service",
                Some("ci.service"),
                None,
            ),
            (
                "/system.slice/_cgroup.service",
                Some("cgroup.service"),
                None,
            ),
            (
                "/user.slice/user-1000.slice/session-3.scope",
                Some("session-3.scope"),
                None,
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/init.scope",
                Some("user@1000.service/init.scope"),
                None,
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/ci.service",
                Some("user@1000.service/ci.service"),
                None,
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome.slice/a.scope/b.service",
                Some("user@1000.service/a.scope"),
                None,
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service",
                Some("user@1000.service"),
                None,
            ),
            // Docker.
            ("/docker/ID", None, Some(ID)),
            ("/system.slice/docker-ID.scope", None, Some(ID)),
            ("/system.slice/docker.service", Some("docker.service"), None),
            ("/docker/ID/system.slice/nginx.service", None, Some(ID)),
            ("/system.slice/docker-ID.scope/init.scope", None, Some(ID)),
            ("/docker/ID/docker/OTHER", None, Some(ID)),
            ("/../docker/ID", None, Some(ID)),
            (
                "/system.slice/docker.service/docker/ID",
                Some("docker.service"),
                Some(ID),
            ),
            ("/actions_job/ID", None, Some(ID)),
            ("/docker/buildx/ID", None, Some(ID)),
            (
                "/system.slice/docker.service/buildkit/pz5mvt3r2gq6k1x8",
                Some("docker.service"),
                Some("pz5mvt3r2gq6k1x8"),
            ),
            // Kubernetes: systemd and cgroupfs drivers; containerd, CRI-O.
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod2f_1.slice/cri-containerd-ID.scope",
                None,
                Some(ID),
            ),
            (
                "/kubepods.slice/kubepods-pod2f_1.slice/crio-ID.scope",
                None,
                Some(ID),
            ),
            (
                "/kubepods.slice/kubepods-pod2f_1.slice/crio-ID.scope/container",
                None,
                Some(ID),
            ),
            (
                "/kubepods.slice/kubepods-pod2f_1.slice/docker-ID.scope",
                None,
                Some(ID),
            ),
            (
                "/kubepods.slice/kubepods-pod2f_1.slice/crio-conmon-ID.scope",
                Some("crio-conmon-ID.scope"),
                None,
            ),
            ("/kubepods/besteffort/pod1d2c-33/ID", None, Some(ID)),
            (
                "/system.slice/containerd.service/kubepods-besteffort-pod2f.slice:cri-containerd:ID",
                Some("containerd.service"),
                Some(ID),
            ),
            (
                "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod1.slice/cri-containerd-ID.scope",
                None,
                Some(ID),
            ),
            ("/k8s.io/ID", None, Some(ID)),
            ("/default/ID", None, Some(ID)),
            ("/system.slice/nerdctl-ID.scope", None, Some(ID)),
            ("/kata_ID", None, Some(ID)),
            // Podman.
            ("/machine.slice/libpod-ID.scope", None, Some(ID)),
            ("/machine.slice/libpod-ID.scope/container", None, Some(ID)),
            (
                "/machine.slice/libpod-conmon-ID.scope",
                Some("libpod-conmon-ID.scope"),
                None,
            ),
            (
                "/machine.slice/machine-libpod_pod_OTHER.slice/libpod-ID.scope",
                None,
                Some(ID),
            ),
            ("/libpod_parent/libpod-ID", None, Some(ID)),
            ("/libpod_parent/conmon", None, None),
            (
                "/system.slice/web.service/libpod-payload-ID",
                Some("web.service"),
                Some(ID),
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container",
                Some("user@1000.service"),
                Some(ID),
            ),
            // systemd-nspawn, machined, LXC.
            (
                "/machine.slice/machine-deb\\x2d12.scope",
                None,
                Some("deb-12"),
            ),
            (
                "/machine.slice/machine-deb.scope/payload/system.slice/ssh.service",
                None,
                Some("deb"),
            ),
            (
                "/machine.slice/systemd-nspawn@deb.service/payload",
                None,
                Some("deb"),
            ),
            (
                "/machine.slice/systemd-nspawn@deb.service/supervisor",
                Some("systemd-nspawn@deb.service"),
                None,
            ),
            (
                "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope",
                Some("machine-qemu\\x2d1\\x2dvm.scope"),
                None,
            ),
            ("/lxc/web", None, Some("web")),
            (
                "/lxc.payload.web/system.slice/nginx.service",
                None,
                Some("web"),
            ),
            ("/lxc.payload/web", None, Some("web")),
            ("/lxc.monitor.web", None, None),
            // A user cannot take a machine's name.
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/machine-deb.scope",
                Some("user@1000.service/machine-deb.scope"),
                None,
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/lxc/web",
                Some("user@1000.service"),
                None,
            ),
            // ECS.
            ("/ecs/0123456789abcdef0123456789abcdef/ID", None, Some(ID)),
            (
                "/ecs/0123456789abcdef0123456789abcdef/0123456789abcdef0123456789abcdef-2531612879",
                None,
                Some("0123456789abcdef0123456789abcdef-2531612879"),
            ),
        ] {
            let unit = unit.map(|unit| unit.replace("ID", ID));
            assert_eq!(path(text), (unit, container.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn proc_files() {
        for (content, unit, container) in [
            ("0::/system.slice/ci.service\n", Some("ci.service"), None),
            ("0::/\n", None, None),
            ("", None, None),
            ("nonsense\n:\n::\n", None, None),
            // Version 1.
            (
                "12:cpu,cpuacct:/system.slice/ci.service\n11:pids:/system.slice/ci.service\n\
                 1:name=systemd:/system.slice/ci.service\n",
                Some("ci.service"),
                None,
            ),
            (
                "12:memory:/docker/ID\n11:freezer:/docker/ID\n1:name=systemd:/docker/ID\n0::/system.slice/containerd.service\n",
                Some("containerd.service"),
                Some(ID),
            ),
            // A runtime that leaves systemd's hierarchy alone.
            (
                "9:memory:/kubepods/besteffort/pod1d2c/ID\n1:name=systemd:/system.slice/k3s.service\n",
                Some("k3s.service"),
                Some(ID),
            ),
            // Both versions at once.
            (
                "2:cpu:/\n1:name=systemd:/user.slice/user-0.slice/session-1.scope\n0::/user.slice/user-0.slice/session-1.scope\n",
                Some("session-1.scope"),
                None,
            ),
            // Controllers say nothing about units.
            ("4:memory:/system.slice/fake.service\n", None, None),
        ] {
            let found = Cgroup::from_proc(content.replace("ID", ID).as_bytes());
            let expected = (unit.map(str::to_owned), container.map(str::to_owned));
            assert_eq!((found.unit, found.container), expected, "{content}");
        }
        assert_eq!(
            Cgroup::from_proc(b"0::/\xff\xfe/\xff.service")
                .unit
                .as_deref(),
            Some("\u{fffd}.service")
        );
    }

    #[test]
    fn long_names_end_the_reading() {
        let long = "x".repeat(300);
        assert_eq!(
            Cgroup::from_path(&format!("/{long}.service")),
            Cgroup::default()
        );
    }

    proptest! {
        #[test]
        fn any_bytes(content in any::<Vec<u8>>(), path in "(/([a-z@.:_\\\\-]{0,12}|[0-9a-f]{64}|user@1.service|lxc)){0,8}") {
            let _ = Cgroup::from_proc(&content);
            let found = Cgroup::from_proc(format!("0::{path}").as_bytes());
            prop_assert!(found.unit.is_none_or(|unit| unit.len() <= 2 * MAX_NAME + 1));
            prop_assert!(found.container.is_none_or(|name| name.len() <= 3 * MAX_NAME));
        }

        #[test]
        fn nothing_below_a_container_is_believed(below in "(/[a-z@.-]{1,12}(.service|.scope)){1,4}") {
            let found = Cgroup::from_path(&format!("/system.slice/docker-{ID}.scope{below}"));
            prop_assert_eq!(found, Cgroup { unit: None, container: Some(ID.to_owned()) });
        }

        #[test]
        fn nothing_below_a_service_renames_it(below in "(/[a-z@.-]{1,12}(.service|.scope)?){1,4}") {
            let found = Cgroup::from_path(&format!("/system.slice/ci.service{below}"));
            prop_assert_eq!(found.unit.as_deref(), Some("ci.service"));
        }
    }
}
