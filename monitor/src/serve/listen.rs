//! The control socket in the file system.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, chown};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use tokio::net::UnixListener;

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another daemon answers there.
    #[error("{}: another daemon listens there; hint: stop it, or give this one another runtime_dir", .0.display())]
    InUse(PathBuf),
    /// Something that is no socket lies there.
    #[error("{}: is not a socket, and will not be removed; hint: move it away, or change runtime_dir", .0.display())]
    NotASocket(PathBuf),
    /// The system refused.
    #[error("{}: {what}: {error}; hint: runtime_dir must be a directory the daemon may write to", path.display())]
    System {
        /// Where.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why not.
        error: io::Error,
    },
}

impl ListenError {
    /// Whether a permission was missing.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::System { error, .. } if error.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// A listening control socket. Dropping it removes the file, unless another has taken its place.
#[derive(Debug)]
pub struct ControlSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    inode: (u64, u64),
}

impl ControlSocket {
    /// Listens at `path` with mode 0660 and the group `group` (a name of /etc/group, or a number), if there
    /// is such a group and it may be given; else with mode 0600. A stale socket is replaced, one that
    /// answers is not. Makes the directory when it is missing.
    ///
    /// # Errors
    /// When another daemon listens there, or the system refuses.
    pub fn bind(path: &Path, group: &str) -> Result<Self, ListenError> {
        let system = |what| {
            move |error| ListenError::System {
                path: path.to_owned(),
                what,
                error,
            }
        };
        let dir = path.parent().unwrap_or(Path::new("/"));
        if !dir.is_dir() {
            fs::create_dir_all(dir).map_err(system("cannot make its directory"))?;
        }
        // Two daemons that start at once must not both find the socket stale.
        // The lock is the owner's alone: whoever may open it could hold a start up.
        let lock = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join(".control.lock"))
            .map_err(system("cannot lock its directory"))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|error| system("cannot lock its directory")(error.into()))?;
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(system("cannot look at it")(error)),
            Ok(meta) if !meta.file_type().is_socket() => {
                return Err(ListenError::NotASocket(path.to_owned()));
            }
            Ok(_) => match probe(path) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(system("cannot remove the stale socket"))?;
                    tracing::info!(socket = %path.display(), "replaced a stale control socket");
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(system("cannot tell whether a daemon listens there")(error));
                }
                Ok(_) => return Err(ListenError::InUse(path.to_owned())),
            },
        }
        // Made under another name with nobody allowed in, then moved to its place: there is no moment
        // at which the wrong people may connect.
        let hidden = dir.join(format!(".control.{}", std::process::id()));
        drop(fs::remove_file(&hidden));
        let listener = StdListener::bind(&hidden).map_err(system("cannot listen"))?;
        let result = (|| {
            fs::set_permissions(&hidden, fs::Permissions::from_mode(0o600))?;
            match group_id(group) {
                None => tracing::warn!(
                    group,
                    "there is no such group: only root may use the control socket"
                ),
                Some(gid) => match chown(&hidden, None, Some(Gid::from_raw(gid))) {
                    Ok(()) => fs::set_permissions(&hidden, fs::Permissions::from_mode(0o660))?,
                    Err(error) => {
                        tracing::warn!(group, %error, "the control socket cannot be given to the group: only the daemon's user and root may use it");
                    }
                },
            }
            listener.set_nonblocking(true)?;
            fs::rename(&hidden, path)?;
            let meta = fs::symlink_metadata(path)?;
            Ok((UnixListener::from_std(listener)?, (meta.dev(), meta.ino())))
        })();
        let (listener, inode) = result.map_err(|error| {
            drop(fs::remove_file(&hidden));
            system("cannot set it up")(error)
        })?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            inode,
        })
    }

    /// The next client.
    ///
    /// # Errors
    /// What the system says.
    pub async fn accept(&self) -> io::Result<tokio::net::UnixStream> {
        Ok(self.listener.accept().await?.0)
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let own = fs::symlink_metadata(&self.path)
            .is_ok_and(|meta| (meta.dev(), meta.ino()) == self.inode);
        if own {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Connects to a unix socket and hangs up, without ever waiting.
///
/// # Errors
/// `ConnectionRefused` when nobody listens there. One that listens but has a full queue is no error.
pub fn probe(path: &Path) -> io::Result<()> {
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        None,
    )?;
    match connect(&socket, &SocketAddrUnix::new(path)?) {
        Ok(()) | Err(Errno::AGAIN) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A group's number, from /etc/group; a number is itself.
pub(crate) fn group_id(group: &str) -> Option<u32> {
    group
        .parse()
        .ok()
        .or_else(|| find_group(&fs::read_to_string("/etc/group").ok()?, group))
}

fn find_group(table: &str, group: &str) -> Option<u32> {
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(group)).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn groups_are_found() {
        let table = "root:x:0:\nbailiwick:x:998:alice,bob\nbail:x:7:\nbroken\n";
        assert_eq!(find_group(table, "bailiwick"), Some(998));
        assert_eq!(find_group(table, "bail"), Some(7));
        assert_eq!(find_group(table, "broken"), None);
        assert_eq!(find_group(table, "none"), None);
        assert_eq!(group_id("42"), Some(42));
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/control.sock");
        let first = ControlSocket::bind(&path, "no-such-group").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(matches!(
            ControlSocket::bind(&path, "x"),
            Err(ListenError::InUse(_))
        ));
        drop(first);
        assert!(!path.exists(), "removed on the way out");
        // A daemon that was killed leaves its file.
        drop(StdListener::bind(&path).unwrap());
        assert!(path.exists());
        let gid = rustix::process::getegid().as_raw();
        let second = ControlSocket::bind(&path, &gid.to_string()).unwrap();
        let meta = fs::metadata(&path).unwrap();
        assert_eq!((meta.mode() & 0o777, meta.gid()), (0o660, gid));
        // One that took the place is not removed.
        fs::remove_file(&path).unwrap();
        let _other = StdListener::bind(&path).unwrap();
        drop(second);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_daemon_that_hangs_is_no_stale_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let _listener = StdListener::bind(&path).unwrap();
        // Nobody accepts: fill its queue until a connection would have to wait.
        let mut waiting = Vec::new();
        loop {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
            match connect(&socket, &SocketAddrUnix::new(&path).unwrap()) {
                Ok(()) => waiting.push(socket),
                Err(error) => {
                    assert_eq!(error, Errno::AGAIN);
                    break;
                }
            }
        }
        assert!(matches!(
            ControlSocket::bind(&path, "x"),
            Err(ListenError::InUse(_))
        ));
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(
            ControlSocket::bind(&path, "x"),
            Err(ListenError::NotASocket(_))
        ));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        let error = ControlSocket::bind(Path::new("/proc/none/control.sock"), "x").unwrap_err();
        assert!(error.to_string().contains("hint:"), "{error}");
    }
}
