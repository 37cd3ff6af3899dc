//! Destroys sockets by sock_diag(7): `SOCK_DESTROY` (Linux 4.5, CONFIG_INET_DIAG_DESTROY).
//!
//! Layouts are those of include/uapi/linux/netlink.h and inet_diag.h.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::acts::ActError;
use super::{AF_UNIX, Socket};

const SOCK_DESTROY: u16 = 21;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLMSG_ERROR: u16 = 2;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u16 = 6;
/// A netlink header and `inet_diag_req_v2`.
const LENGTH: usize = 16 + 56;
/// The namespace of this thread.
const OWN: &str = "/proc/thread-self/ns/net";

/// The message that destroys one TCP socket.
fn message(socket: &Socket) -> [u8; LENGTH] {
    let mut out = Vec::with_capacity(LENGTH);
    out.extend_from_slice(&u32::try_from(LENGTH).unwrap_or(0).to_ne_bytes());
    out.extend_from_slice(&SOCK_DESTROY.to_ne_bytes());
    out.extend_from_slice(&(NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    // Sequence number and port: one message a socket, answered by the kernel.
    out.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]);
    let mapped =
        |address: &[u8; 16]| address.starts_with(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255]);
    // Also a socket of IPv6 that talks IPv4 is found by its IPv4 addresses.
    let v4 = mapped(&socket.local) && mapped(&socket.remote);
    out.extend_from_slice(&[if v4 { AF_INET } else { AF_INET6 }, 6, 0, 0]);
    // In any state.
    out.extend_from_slice(&u32::MAX.to_ne_bytes());
    out.extend_from_slice(&socket.local_port.to_be_bytes());
    out.extend_from_slice(&socket.remote_port.to_be_bytes());
    for address in [&socket.local, &socket.remote] {
        if v4 {
            out.extend_from_slice(address.get(12..).unwrap_or_default());
            out.extend_from_slice(&[0; 12]);
        } else {
            out.extend_from_slice(address);
        }
    }
    // Any interface.
    out.extend_from_slice(&[0; 4]);
    let [low, high] = [socket.cookie, socket.cookie >> 32].map(|half| (half & 0xffff_ffff) as u32);
    out.extend_from_slice(&low.to_ne_bytes());
    out.extend_from_slice(&high.to_ne_bytes());
    let mut fixed = [0; LENGTH];
    for (to, from) in fixed.iter_mut().zip(out) {
        *to = from;
    }
    fixed
}

/// What the kernel's acknowledgement says: 0 or an error number.
fn answer(bytes: &[u8]) -> Result<i32, &'static str> {
    let word = |at: usize| -> Option<[u8; 4]> { bytes.get(at..at + 4)?.try_into().ok() };
    let kind = bytes
        .get(4..6)
        .and_then(|kind| kind.try_into().ok())
        .map(u16::from_ne_bytes);
    match (kind, word(16)) {
        (Some(NLMSG_ERROR), Some(code)) => Ok(i32::from_ne_bytes(code).saturating_neg()),
        _ => Err("an answer that is none"),
    }
}

/// Destroys a socket of the network namespace that this thread is in.
fn destroy_here(socket: &Socket) -> Result<(), ActError> {
    const WHAT: &str = "destroying a socket";
    let failed = |error: Errno| ActError::System {
        what: WHAT,
        cause: io::Error::from(error).to_string(),
    };
    let diag = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(rustix::net::netlink::SOCK_DIAG),
    )
    .map_err(failed)?;
    rustix::net::send(&diag, &message(socket), SendFlags::empty()).map_err(failed)?;
    // The kernel has answered before the send returns.
    let mut buffer = [0_u8; 256];
    let (length, _) = rustix::net::recv(&diag, &mut buffer, RecvFlags::DONTWAIT).map_err(failed)?;
    let code =
        answer(buffer.get(..length).unwrap_or_default()).map_err(|what| ActError::System {
            what: WHAT,
            cause: what.to_owned(),
        })?;
    match code {
        0 => Ok(()),
        libc::ENOENT | libc::ESTALE => Err(ActError::Gone),
        libc::EPERM | libc::EACCES => Err(ActError::Privilege {
            what: WHAT,
            need: "CAP_NET_ADMIN",
        }),
        libc::EOPNOTSUPP => Err(ActError::Unsupported(
            "this kernel destroys no sockets (CONFIG_INET_DIAG_DESTROY)",
        )),
        code => Err(ActError::System {
            what: WHAT,
            cause: io::Error::from_raw_os_error(code).to_string(),
        }),
    }
}

/// Destroys a TCP socket, in whatever network namespace it is.
pub(super) fn destroy(socket: &Socket) -> Result<(), ActError> {
    if socket.family == AF_UNIX {
        return Err(ActError::Unsupported(
            "a unix socket cannot be destroyed from outside; nothing was done",
        ));
    }
    if socket.protocol != IPPROTO_TCP {
        return Err(ActError::Unsupported(
            "only TCP connections can be reset, and this is another protocol (MPTCP)",
        ));
    }
    let inode = |path: &Path| fs::metadata(path).map(|meta| meta.ino());
    let own = inode(Path::new(OWN)).map_err(|error| ActError::System {
        what: "reading the own network namespace",
        cause: error.to_string(),
    })?;
    if own == u64::from(socket.netns) {
        return destroy_here(socket);
    }
    let path = format!("/proc/{}/ns/net", socket.pid);
    let entered = |error: &io::Error, what| match error.kind() {
        io::ErrorKind::NotFound => ActError::Gone,
        io::ErrorKind::PermissionDenied => ActError::Privilege {
            what,
            need: "CAP_SYS_ADMIN and CAP_SYS_PTRACE",
        },
        _ => ActError::System {
            what,
            cause: error.to_string(),
        },
    };
    const ENTER: &str = "entering the network namespace";
    let namespace = fs::File::open(&path).map_err(|error| entered(&error, ENTER))?;
    let there = namespace
        .metadata()
        .map_err(|error| entered(&error, ENTER))?
        .ino();
    if there != u64::from(socket.netns) {
        // The process has moved on, or is another one.
        return Err(ActError::Gone);
    }
    // A thread of its own: the namespace is the thread's, and ends with it.
    let result = std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("bailiwick-netns".to_owned())
            .spawn_scoped(scope, || {
                rustix::thread::move_into_link_name_space(
                    namespace.as_fd(),
                    Some(rustix::thread::LinkNameSpaceType::Network),
                )
                .map_err(|error| entered(&error.into(), ENTER))?;
                destroy_here(socket)
            })
            .map_err(|error| entered(&error, "starting a thread"))
            .map(|thread| thread.join())
    })?;
    result.unwrap_or_else(|_| {
        Err(ActError::System {
            what: ENTER,
            cause: "the thread died".to_owned(),
        })
    })
}

/// Whether sockets could be destroyed here: asks for one that does not exist.
///
/// # Errors
/// Why they could not.
pub fn can_destroy() -> Result<(), ActError> {
    let mut mapped = [0; 16];
    for (to, from) in mapped.iter_mut().skip(10).zip([255, 255, 127, 0, 0, 1]) {
        *to = from;
    }
    let none = Socket {
        // Cookies count up from 1; this one will not be reached.
        cookie: u64::MAX - 1,
        local: mapped,
        remote: mapped,
        local_port: 1,
        remote_port: 1,
        family: 2,
        protocol: IPPROTO_TCP,
        netns: 0,
        pid: 0,
        client: true,
    };
    match destroy_here(&none) {
        Ok(()) | Err(ActError::Gone) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(local: [u8; 16], remote: [u8; 16]) -> Socket {
        Socket {
            cookie: 0x1_0000_0002,
            local,
            remote,
            local_port: 0x1234,
            remote_port: 443,
            family: 2,
            protocol: 6,
            netns: 0,
            pid: 0,
            client: true,
        }
    }

    #[test]
    fn a_message_has_the_kernels_layout() {
        let mut local = [0; 16];
        local[10..].copy_from_slice(&[255, 255, 10, 0, 0, 1]);
        let mut remote = local;
        remote[15] = 2;
        let bytes = message(&socket(local, remote));
        assert_eq!(&bytes[..8], [72, 0, 0, 0, 21, 0, 5, 0]);
        assert_eq!(&bytes[16..20], [2, 6, 0, 0]);
        assert_eq!(&bytes[24..28], [0x12, 0x34, 1, 0xbb]);
        assert_eq!(&bytes[28..32], [10, 0, 0, 1]);
        assert_eq!(&bytes[44..48], [10, 0, 0, 2]);
        assert_eq!(&bytes[64..72], [2, 0, 0, 0, 1, 0, 0, 0]);
        let six = [0x20; 16];
        let bytes = message(&socket(six, six));
        assert_eq!(bytes[16], 10);
        assert_eq!(&bytes[28..60], [0x20; 32]);
    }

    #[test]
    fn answers_are_read() {
        let mut bytes = [0_u8; 36];
        bytes[4..6].copy_from_slice(&2_u16.to_ne_bytes());
        bytes[16..20].copy_from_slice(&(-2_i32).to_ne_bytes());
        assert_eq!(answer(&bytes), Ok(2));
        bytes[16..20].fill(0);
        assert_eq!(answer(&bytes), Ok(0));
        assert!(answer(&bytes[..18]).is_err() && answer(&[]).is_err());
        bytes[4] = 3;
        assert!(answer(&bytes).is_err());
    }
}
