//! The few calls to the kernel that no crate in use has: interfaces of a network namespace.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsRawFd;

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// `struct ifreq` (netdevice(7)): a name of 16 bytes, then 24 bytes of what is asked.
#[repr(C, align(8))]
struct Request {
    name: [u8; 16],
    data: [u8; 24],
}

impl Request {
    fn of(name: &str) -> Self {
        let mut request = Self {
            name: [0; 16],
            data: [0; 24],
        };
        for (to, byte) in request.name.iter_mut().take(15).zip(name.bytes()) {
            *to = byte;
        }
        request
    }

    fn flags(mut self, flags: libc::c_int) -> Self {
        let flags = u16::try_from(flags).unwrap_or(0).to_ne_bytes();
        self.data[..2].copy_from_slice(&flags);
        self
    }

    /// A `struct sockaddr_in`.
    fn address(mut self, address: Ipv4Addr) -> Self {
        let family = u16::try_from(libc::AF_INET).unwrap_or(0).to_ne_bytes();
        self.data[..2].copy_from_slice(&family);
        self.data[4..8].copy_from_slice(&address.octets());
        self
    }

    fn send(&mut self, to: &impl AsRawFd, what: libc::Ioctl) -> io::Result<()> {
        // SAFETY: the calls made here read and write a struct ifreq, 40 bytes at most, at this address.
        match unsafe { libc::ioctl(to.as_raw_fd(), what, std::ptr::from_mut(self)) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

const _: () = assert!(size_of::<Request>() == 40);

/// A network namespace for this thread and its children, with loopback up. It goes with its last process.
///
/// # Errors
/// When this is not allowed.
pub(super) fn leave_network() -> io::Result<()> {
    // SAFETY: the flag unshares neither descriptors nor memory.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
    up("lo")
}

fn up(name: &str) -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0").or_else(|_| UdpSocket::bind("0.0.0.0:0"))?;
    Request::of(name)
        .flags(libc::IFF_UP | libc::IFF_RUNNING)
        .send(&socket, code(libc::SIOCSIFFLAGS))
}

/// The kernel's number of a request in the type that this C library's `ioctl` takes: musl has it as an `int`.
const fn code(request: libc::c_ulong) -> libc::Ioctl {
    request as libc::Ioctl
}

/// `struct in6_ifreq`.
#[repr(C)]
struct Request6 {
    address: [u8; 16],
    prefix: u32,
    index: libc::c_int,
}

/// Adds an address to loopback; `number` is unique among those added.
///
/// # Errors
/// When the kernel refuses.
pub(super) fn add_address(address: IpAddr, number: u16) -> io::Result<()> {
    match address {
        IpAddr::V4(address) => set_address(&format!("lo:{number}"), address, Ipv4Addr::BROADCAST),
        IpAddr::V6(address) => add_address6(address),
    }
}

fn add_address6(address: Ipv6Addr) -> io::Result<()> {
    let socket = UdpSocket::bind("[::1]:0")?;
    let mut request = Request6 {
        address: address.octets(),
        prefix: 128,
        // Loopback is the first interface of every namespace.
        index: 1,
    };
    // SAFETY: SIOCSIFADDR on a socket of IPv6 reads a struct in6_ifreq at this address.
    let result = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            code(libc::SIOCSIFADDR),
            std::ptr::from_mut(&mut request),
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set_address(name: &str, address: Ipv4Addr, mask: Ipv4Addr) -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    Request::of(name)
        .address(address)
        .send(&socket, code(libc::SIOCSIFADDR))?;
    Request::of(name)
        .address(mask)
        .send(&socket, code(libc::SIOCSIFNETMASK))
}

/// A network interface whose packets are read and written here, up and with an address. Gone with the file.
///
/// # Errors
/// When this kernel has none.
pub(super) fn tun(address: Ipv4Addr, mask: Ipv4Addr) -> io::Result<File> {
    const NAME: &str = "bwdrill0";
    let device = File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")?;
    Request::of(NAME)
        .flags(libc::IFF_TUN | libc::IFF_NO_PI)
        .send(&device, libc::TUNSETIFF)?;
    set_address(NAME, address, mask)?;
    up(NAME)?;
    Ok(device)
}
