//! Probes on the functions of TLS libraries that derive keys: one a file and function, for all processes.
//!
//! Linux ≥ 6.6: `uprobe_multi` links. Before: perf events, which may want more privilege than the service
//! has (see [`super::sys`]); root can still.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Instant;

use super::fallback::{Fallback, Programs};
use super::{Figure, sys};

/// Most probes at a time: each is a breakpoint in a file, and a descriptor or two.
pub const MOST_PROBES: usize = 4096;
/// Where the kernel says which perf event a user probe is.
const PERF_TYPE: &str = "/sys/bus/event_source/devices/uprobe/type";
/// The most of the verifier's words that are kept, from their end.
const LOG_CHARS: usize = 2000;

/// A function that keys go through. It is to be probed at its entry, or at an instruction after it as long
/// as arguments and stack pointer are as at entry: of OpenSSL's (`test rdi, rdi; je`) the second, which
/// the kernel emulates, costs 0.6 µs a hit where the first costs 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// OpenSSL ≥ 3: `EVP_KDF_derive`.
    OpensslKdf,
    /// GnuTLS, TLS 1.2: `_gnutls_prf_raw`.
    GnutlsPrf,
    /// GnuTLS, TLS 1.3: `gnutls_hkdf_expand`, and since 3.7.3 an inner function with the same arguments.
    GnutlsExpand,
    /// GnuTLS, TLS 1.3, where that inner function is not found: libnettle's `nettle_hkdf_expand`. With both
    /// probed a secret comes twice.
    NettleHkdf,
    /// BoringSSL and aws-lc, TLS 1.3: `HKDF_expand`.
    HkdfExpand,
    /// BoringSSL and aws-lc, TLS 1.2: `CRYPTO_tls1_prf`.
    Tls1Prf,
    /// BoringSSL and aws-lc, in place of the two before: `bssl::ssl_log_secret`. Its master secrets come
    /// without randoms.
    BoringLog,
    /// Go ≥ 1.17 (register ABI): `crypto/tls.(*Config).writeKeyLog`.
    GoKeyLog,
}

impl Hook {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::OpensslKdf,
        Self::GnutlsPrf,
        Self::GnutlsExpand,
        Self::NettleHkdf,
        Self::HkdfExpand,
        Self::Tls1Prf,
        Self::BoringLog,
        Self::GoKeyLog,
    ];

    /// The function's name in a symbol table (aws-lc puts a prefix of its version in front of its two).
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::OpensslKdf => "EVP_KDF_derive",
            Self::GnutlsPrf => "_gnutls_prf_raw",
            Self::GnutlsExpand => "gnutls_hkdf_expand",
            Self::NettleHkdf => "nettle_hkdf_expand",
            Self::HkdfExpand => "HKDF_expand",
            Self::Tls1Prf => "CRYPTO_tls1_prf",
            Self::BoringLog => "bssl::ssl_log_secret",
            Self::GoKeyLog => "crypto/tls.(*Config).writeKeyLog",
        }
    }

    /// The kernel program.
    fn program(self) -> &'static str {
        match self {
            Self::OpensslKdf => "openssl_kdf",
            Self::GnutlsPrf => "gnutls_prf",
            Self::GnutlsExpand => "gnutls_expand",
            Self::NettleHkdf => "nettle_hkdf",
            Self::HkdfExpand => "hkdf_expand",
            Self::Tls1Prf => "tls1_prf",
            Self::BoringLog => "boring_log",
            Self::GoKeyLog => "go_key_log",
        }
    }
}

/// Why a probe is not there.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The object's probes are not as expected.
    #[error("the kernel programs' probe {program} cannot be read: {cause}; build again")]
    Object {
        /// Which.
        program: &'static str,
        /// Why.
        cause: String,
    },
    /// The kernel refused a program.
    #[error("loading probe {program} failed: {cause}{}{log}", if log.is_empty() { "" } else { ": " })]
    Load {
        /// Which.
        program: &'static str,
        /// The kernel's error.
        #[source]
        cause: io::Error,
        /// The end of the verifier's words.
        log: String,
    },
    /// The kernel refused a place.
    #[error("cannot attach to {} at {offset:#x} of {file}: {cause}", hook.symbol())]
    Attach {
        /// Which function.
        hook: Hook,
        /// In which file.
        file: String,
        /// Where in the file, in bytes.
        offset: u64,
        /// The kernel's error.
        #[source]
        cause: io::Error,
    },
    /// There are [`MOST_PROBES`] already.
    #[error("there are {MOST_PROBES} probes already")]
    Full,
}

/// Names an attached probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProbeId(u64);

/// A probe that is attached.
#[derive(Debug)]
pub struct Attached {
    /// Its name.
    pub id: ProbeId,
    /// Which function.
    pub hook: Hook,
    /// The file, as its discoverer calls it.
    pub file: String,
    /// Where in the file, in bytes.
    pub offset: u64,
    _link: Link,
}

/// How programs are attached on this kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    Multi,
    /// With the type of the perf event.
    Perf(u32),
}

/// Detaches when dropped, in this order.
#[derive(Debug)]
pub(super) struct Link {
    _link: OwnedFd,
    _event: Option<OwnedFd>,
}

impl From<OwnedFd> for Link {
    fn from(link: OwnedFd) -> Self {
        Self {
            _link: link,
            _event: None,
        }
    }
}

impl From<(OwnedFd, OwnedFd)> for Link {
    fn from((link, event): (OwnedFd, OwnedFd)) -> Self {
        Self {
            _link: link,
            _event: Some(event),
        }
    }
}

/// The loaded programs and where they are attached. Dropping it detaches all. Independent of the thread
/// that drains the events; attaching takes about 10 ms, detaching 30.
#[derive(Debug)]
pub struct Probes {
    programs: Vec<(Hook, OwnedFd)>,
    means: Means,
    attached: Vec<Attached>,
    next: u64,
    fallback: Result<Programs, String>,
    figures: Vec<Figure>,
    pub(super) ready: Option<Fallback>,
}

impl Probes {
    /// Loads the programs out of the object.
    ///
    /// # Errors
    /// What the object lacks or the kernel refused.
    pub(super) fn load(code: &Code) -> Result<Self, ProbeError> {
        let mut figures = Vec::with_capacity(Hook::ALL.len() + 2);
        let mut load = |name, multi| {
            let begun = Instant::now();
            let program = code.load_named(name, multi)?;
            figures.push(Figure::of(name, program.as_fd(), begun.elapsed()));
            Ok::<_, ProbeError>(program)
        };
        let first = load(Hook::ALL[0].program(), true)?;
        let means = if multi_works(&first) {
            Means::Multi
        } else {
            Means::Perf(perf_type())
        };
        let mut programs = Vec::with_capacity(Hook::ALL.len());
        if means == Means::Multi {
            programs.push((Hook::ALL[0], first));
        }
        for hook in Hook::ALL.into_iter().skip(programs.len()) {
            programs.push((hook, load(hook.program(), means == Means::Multi)?));
        }
        // Without them what has no keys stays closed.
        let mut load = |name| load(name, means == Means::Multi).map_err(|e| e.to_string());
        let fallback = load("ssl_enter").and_then(|enter| {
            load("ssl_leave").map(|leave| Programs {
                enter,
                leave,
                means,
            })
        });
        Ok(Self {
            programs,
            means,
            attached: Vec::new(),
            next: 0,
            fallback,
            figures,
            ready: None,
        })
    }

    /// The programs of the fallback, once.
    pub(super) fn take_fallback(&mut self) -> Result<Programs, String> {
        std::mem::replace(&mut self.fallback, Err("it was taken before".to_owned()))
    }

    /// Probes of single processes, if the kernel has what they need. Once.
    pub fn take_ready(&mut self) -> Option<Fallback> {
        self.ready.take()
    }

    /// Attaches to the instruction at `offset` bytes of an open regular file (opened with O_PATH or for
    /// reading), in every process that maps it, now and later. `name` is what people know the file by.
    ///
    /// # Errors
    /// [`ProbeError::Full`], or what the kernel said.
    pub fn attach(
        &mut self,
        hook: Hook,
        file: impl AsFd,
        name: &str,
        offset: u64,
    ) -> Result<ProbeId, ProbeError> {
        if self.attached.len() >= MOST_PROBES {
            return Err(ProbeError::Full);
        }
        let failed = |cause| ProbeError::Attach {
            hook,
            file: name.to_owned(),
            offset,
            cause,
        };
        let program = self
            .programs
            .iter()
            .find(|(of, _)| *of == hook)
            .map(|(_, program)| program.as_fd())
            .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        // The kernel wants a path. This one leads to the open file itself, whatever has become of the
        // name it was opened by, in whichever mount namespace that was.
        let path = CString::new(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()))
            .map_err(|e| failed(e.into()))?;
        let link = match self.means {
            Means::Multi => sys::link_multi(program, &path, offset).map(Link::from),
            Means::Perf(kind) => {
                let place = sys::Place {
                    path: &path,
                    offset,
                    cookie: 0,
                    pid: None,
                    at_return: false,
                };
                sys::link_perf(program, kind, &place).map(Link::from)
            }
        }
        .map_err(failed)?;
        let id = ProbeId(self.next);
        self.next += 1;
        self.attached.push(Attached {
            id,
            hook,
            file: name.to_owned(),
            offset,
            _link: link,
        });
        Ok(id)
    }

    /// Like [`Self::attach`], by a path in this process' own mount namespace.
    ///
    /// # Errors
    /// Also when the file cannot be opened.
    pub fn attach_path(
        &mut self,
        hook: Hook,
        path: &Path,
        offset: u64,
    ) -> Result<ProbeId, ProbeError> {
        let name = path.display().to_string();
        match std::fs::File::open(path) {
            Ok(file) => self.attach(hook, file, &name, offset),
            Err(cause) => Err(ProbeError::Attach {
                hook,
                file: name,
                offset,
                cause,
            }),
        }
    }

    /// Detaches one; false when there is none of that name.
    pub fn detach(&mut self, id: ProbeId) -> bool {
        match self.attached.iter().position(|probe| probe.id == id) {
            Some(index) => {
                self.attached.remove(index);
                true
            }
            None => false,
        }
    }

    /// What is attached, oldest first.
    #[must_use]
    pub fn attached(&self) -> &[Attached] {
        &self.attached
    }

    /// What the verifier made of the programs, in the order of their loading.
    #[must_use]
    pub fn figures(&self) -> &[Figure] {
        &self.figures
    }

    /// How probes are attached, for people.
    #[must_use]
    pub fn means(&self) -> &'static str {
        match self.means {
            Means::Multi => "uprobe_multi",
            Means::Perf(_) => "perf_event",
        }
    }
}

/// Whether the kernel makes `uprobe_multi` links: one that does finds that `/` is no regular file before
/// anything else, one that does not finds the attach type wrong.
fn multi_works(program: &OwnedFd) -> bool {
    match sys::link_multi(program.as_fd(), c"/", 0) {
        Ok(_) => true,
        Err(error) => error.raw_os_error() == Some(libc::EBADF),
    }
}

/// The type of a user probe's perf event; without one in sysfs, one that the kernel will refuse by.
fn perf_type() -> u32 {
    std::fs::read_to_string(PERF_TYPE)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(u32::MAX)
}

/// The object's instructions, with the maps' descriptors in them.
pub(super) struct Code(aya_obj::Object);

impl Code {
    /// Reads `object`, with the maps that were created for the others: `map` gives the descriptor of one by
    /// its name.
    pub(super) fn read(
        object: &[u8],
        map: &dyn Fn(&str) -> Option<RawFd>,
    ) -> Result<Self, ProbeError> {
        let broken = |cause: String| ProbeError::Object {
            program: Hook::ALL[0].program(),
            cause,
        };
        let mut object = aya_obj::Object::parse(object).map_err(|e| broken(e.to_string()))?;
        let sections = object
            .functions
            .keys()
            .map(|(section, _)| *section)
            .collect();
        let mut maps = Vec::with_capacity(object.maps.len());
        for (name, shape) in &object.maps {
            let fd = map(name).ok_or_else(|| broken(format!("no map {name}")))?;
            maps.push((name.clone(), fd, shape.clone()));
        }
        object
            .relocate_maps(
                maps.iter()
                    .map(|(name, fd, shape)| (name.as_str(), *fd, shape)),
                &sections,
            )
            .and_then(|()| object.relocate_calls(&sections))
            .map_err(|e| broken(e.to_string()))?;
        Ok(Self(object))
    }

    /// Instructions and licence of a program.
    pub(super) fn instructions(
        &self,
        name: &str,
    ) -> Option<(Vec<aya_obj::generated::bpf_insn>, CString)> {
        let program = self.0.programs.get(name)?;
        let function = self.0.functions.get(&program.function_key())?;
        Some((function.instructions.clone(), program.license.clone()))
    }

    fn load_named(&self, name: &'static str, multi: bool) -> Result<OwnedFd, ProbeError> {
        let missing = || ProbeError::Object {
            program: name,
            cause: "it is not there".to_owned(),
        };
        let program = self.0.programs.get(name).ok_or_else(missing)?;
        let function = self
            .0
            .functions
            .get(&program.function_key())
            .ok_or_else(missing)?;
        let license: &CStr = &program.license;
        sys::load_probe(name, &function.instructions, license, multi).map_err(|(cause, log)| {
            let skip = log.chars().count().saturating_sub(LOG_CHARS);
            ProbeError::Load {
                program: name,
                cause,
                log: log.chars().skip(skip).collect(),
            }
        })
    }
}
