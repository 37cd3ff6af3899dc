//! Where a drill takes place: a scratch directory, control groups of containers, servers. Gone when dropped.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::error::DrillError;
use super::peers::Peer;
use super::technique::Places;
use super::{far, mint, sys};

/// Where the drill's server listens: an address of the benchmarking range (RFC 2544), on the namespace's own
/// loopback, so that a policy which names 127.0.0.0/8 does not change what a request means.
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 18, 7, 7)), 80);

/// Names of the copies of this program that act.
const PROGRAMS: [&str; 5] = ["agent", "thief", "dev-agent", "server", "bailiwick"];

/// The ground.
pub(super) struct Ground {
    /// Anyone may pass through, nobody but root may look: other users run programs in it.
    dir: PathBuf,
    groups: Mutex<Vec<PathBuf>>,
    pub(super) places: Places,
    /// Why there is no far host.
    pub(super) no_far: Option<String>,
    /// Why there are no containers.
    pub(super) no_containers: Option<String>,
    _server: Option<Peer>,
}

impl Ground {
    /// Leaves the network of the host for one of its own, and prepares everything in it; `more` are addresses
    /// at which the drill's server is to be found. To be called before other threads are started.
    ///
    /// # Errors
    /// What could not be made, and why.
    pub(super) fn prepare(now: i64, more: &[IpAddr]) -> Result<Self, DrillError> {
        sys::leave_network().map_err(|error| {
            DrillError::on("a network namespace", &error)
                .hint("run as root; in a container, with CAP_SYS_ADMIN")
        })?;
        let mut listen = vec!["server".to_owned()];
        for (ip, number) in [SERVER.ip()].iter().chain(more).zip(1..) {
            sys::add_address(*ip, number)
                .map_err(|error| DrillError::on(format!("{ip} on loopback"), &error))?;
            listen.push(SocketAddr::new(*ip, SERVER.port()).to_string());
        }
        let mut ground = Self::directories(now).map_err(|error| {
            DrillError::on(
                format!("a directory in {}", std::env::temp_dir().display()),
                &error,
            )
            .hint("name a directory with room for a copy of the program in TMPDIR")
        })?;
        ground.no_containers = ground.containers().err().map(|error| error.to_string());
        ground.no_far = far::start()
            .err()
            .map(|error| format!("no TUN device: {error}"));
        let program = ground.places.bin.join("server");
        let listen: Vec<&str> = listen.iter().map(String::as_str).collect();
        let server = Peer::start(&program, &listen, &[], Path::new("/"))
            .and_then(|mut server| server.line().map(|_| server))
            .map_err(|error| {
                DrillError::on(program.display(), &error)
                    .hint("if that file system is mounted noexec, name another one in TMPDIR")
            })?;
        ground._server = Some(server);
        Ok(ground)
    }

    fn directories(now: i64) -> io::Result<Self> {
        let id = mint::id(&mint::token());
        let name = format!("bailiwick-drill-{}-{}", std::process::id(), &id[..8]);
        let dir = std::env::temp_dir().canonicalize()?.join(name);
        DirBuilder::new().mode(0o711).create(&dir)?;
        let ground = Self {
            places: Places {
                keys: dir.join("private/keys"),
                bin: dir.join("bin"),
                server: SERVER,
                far: far::ADDRESS,
                now,
            },
            dir,
            groups: Mutex::default(),
            no_far: None,
            no_containers: None,
            _server: None,
        };
        // The process' umask may have taken away more.
        fs::set_permissions(&ground.dir, fs::Permissions::from_mode(0o711))?;
        for (path, mode) in [
            (ground.private(), 0o700),
            (ground.places.keys.clone(), 0o700),
            (ground.private().join("state"), 0o700),
            (ground.private().join("run"), 0o700),
            (ground.dir.join("work"), 0o700),
            (ground.places.bin.clone(), 0o755),
        ] {
            DirBuilder::new().mode(mode).create(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
        let [first, others @ ..] = PROGRAMS.map(|name| ground.places.bin.join(name));
        fs::copy(std::env::current_exe()?, &first)?;
        fs::set_permissions(&first, fs::Permissions::from_mode(0o755))?;
        for other in others {
            fs::hard_link(&first, other)?;
        }
        Ok(ground)
    }

    /// Directory that only root may enter.
    pub(super) fn private(&self) -> PathBuf {
        self.dir.join("private")
    }

    /// A working directory of its own with a file `.env`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn work(&self, name: &str, dotenv: &str) -> io::Result<PathBuf> {
        let dir = self.dir.join("work").join(name);
        DirBuilder::new().mode(0o700).create(&dir)?;
        write(&dir.join(".env"), dotenv)?;
        Ok(dir)
    }

    /// A place for control groups with the names that container runtimes give.
    fn containers(&mut self) -> io::Result<()> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let root = unified(&mounts)
            .ok_or_else(|| io::Error::other("no cgroup2 file system is mounted"))?;
        let parent = root.join(format!("bailiwick-drill-{}", std::process::id()));
        fs::create_dir(&parent)?;
        self.groups
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .push(parent);
        Ok(())
    }

    /// The file that takes processes into a container's control group.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn entrance(&self, container: &str) -> Result<PathBuf, String> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let lack = || self.no_containers.clone().unwrap_or_default();
        let group = groups.first().ok_or_else(lack)?.join(container);
        if !groups.contains(&group) {
            fs::create_dir(&group).map_err(|error| format!("{}: {error}", group.display()))?;
            groups.push(group.clone());
        }
        Ok(group.join("cgroup.procs"))
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self._server = None;
        for group in self
            .groups
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .rev()
        {
            // A group can be removed once the kernel has put its last process away.
            for _ in 0..100 {
                if fs::remove_dir(group).is_ok() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Writes a file that only root may read.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?
        .write_all(text.as_bytes())
}

/// Where the unified hierarchy is mounted (proc_pid_mountinfo(5): the fifth field, and the type behind ` - `).
fn unified(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (front, back) = line.split_once(" - ")?;
        (back.split(' ').next() == Some("cgroup2"))
            .then(|| front.split(' ').nth(4).map(PathBuf::from))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unified_hierarchy_is_found() {
        let hybrid = "31 24 0:26 / /sys/fs/cgroup rw shared:9 - tmpfs tmpfs rw\n\
                      40 31 0:30 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw\n";
        assert_eq!(unified(hybrid), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(
            unified("31 24 0:26 / /sys/fs/cgroup rw - cgroup cgroup rw,cpu\n"),
            None
        );
        assert_eq!(unified("nonsense"), None);
    }
}
