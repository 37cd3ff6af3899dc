//! A host that does not exist.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::super::super::elf::ReadAt;
use super::super::super::elf::testing::Image;
use super::super::{FileId, LibraryFiles, Mapped, ProgramFile, Root, Version};

/// Devices from here on are overlays.
pub(super) const OVERLAYS: u64 = 0x60;

/// Inode number of a root directory, and its libraries: path and inode number.
type FakeRoot = (u64, Vec<(String, u64)>);

/// What is there, and what was done with it.
#[derive(Default)]
pub(super) struct State {
    /// By inode number: contents and time of change.
    pub(super) files: HashMap<u64, (Vec<u8>, i128)>,
    /// By process: `maps`.
    pub(super) maps: HashMap<u32, String>,
    pub(super) mounts: HashMap<u32, String>,
    /// By process, or the host's own.
    pub(super) roots: HashMap<Option<u32>, FakeRoot>,
    pub(super) opened: Vec<u64>,
    /// By process: `maps` from the second look on.
    pub(super) later: HashMap<u32, String>,
}

fn maps_of(files: &[(&str, u64)]) -> String {
    files
        .iter()
        .enumerate()
        .map(|(i, (device, ino))| {
            format!("{i}1000-{i}2000 r-xp 00000000 {device} {ino} /lib/{ino}.so\n")
        })
        .collect()
}

/// A host.
#[derive(Clone, Default)]
pub(super) struct Fake(pub(super) Arc<Mutex<State>>);

impl Fake {
    /// A library with one function to probe.
    pub(super) fn file(&self, ino: u64, function: &'static str) {
        let image = Image {
            exported: vec![function],
            ..Image::default()
        };
        let mut state = self.0.lock().unwrap();
        let changed = state.files.get(&ino).map_or(0, |(_, changed)| changed + 1);
        state.files.insert(ino, (image.build(), changed));
    }

    /// A process that has files mapped, by device and inode, on an ordinary root.
    pub(super) fn process(&self, pid: u32, files: &[(&str, u64)]) {
        let mut state = self.0.lock().unwrap();
        state.maps.insert(pid, maps_of(files));
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda rw\n23 22 0:50 / /mnt rw - fuse.x x rw\n";
        state.mounts.insert(pid, mounts.to_owned());
    }

    /// What the same process has mapped once it was looked at.
    pub(super) fn process_later(&self, pid: u32, files: &[(&str, u64)]) {
        self.0.lock().unwrap().later.insert(pid, maps_of(files));
    }

    pub(super) fn opened(&self) -> Vec<u64> {
        std::mem::take(&mut self.0.lock().unwrap().opened)
    }

    fn open(&self, dev: u64, ino: u64) -> io::Result<Box<dyn ProgramFile>> {
        let mut state = self.0.lock().unwrap();
        state.opened.push(ino);
        let found = state.files.get(&ino);
        let (data, changed) = found.cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(FakeFile {
            dev,
            ino,
            data,
            changed,
        }))
    }
}

struct FakeFile {
    dev: u64,
    ino: u64,
    data: Vec<u8>,
    changed: i128,
}

impl ReadAt for FakeFile {
    fn size(&self) -> u64 {
        self.data.size()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.data.read_at(offset, into)
    }
}

impl ProgramFile for FakeFile {
    fn id(&self) -> FileId {
        FileId {
            dev: self.dev,
            ino: self.ino,
        }
    }

    fn version(&self) -> Version {
        Version {
            size: self.size(),
            modified: 0,
            changed: self.changed,
        }
    }

    fn layered(&self) -> bool {
        self.dev >= OVERLAYS
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/open/{}", self.ino))
    }
}

fn number(root: Root) -> Option<u32> {
    match root {
        Root::Host => None,
        Root::Of(pid) => Some(pid),
    }
}

impl LibraryFiles for Fake {
    fn kernel(&self) -> String {
        "6.18.1".to_owned()
    }

    fn pids(&self) -> Vec<u32> {
        self.0.lock().unwrap().maps.keys().copied().collect()
    }

    fn maps(&self, pid: u32) -> Option<String> {
        let mut state = self.0.lock().unwrap();
        let later = state.later.remove(&pid);
        let maps = state.maps.get(&pid).cloned();
        state.maps.extend(later.map(|later| (pid, later)));
        maps
    }

    fn mounts(&self, pid: u32) -> Option<String> {
        self.0.lock().unwrap().mounts.get(&pid).cloned()
    }

    fn mapped(&self, _: u32, mapped: &Mapped) -> io::Result<Box<dyn ProgramFile>> {
        let (_, minor) = mapped.device;
        self.open(minor.into(), mapped.inode)
    }

    fn root(&self, root: Root) -> Option<FileId> {
        let state = self.0.lock().unwrap();
        let (ino, _) = state.roots.get(&number(root))?;
        Some(FileId { dev: 9, ino: *ino })
    }

    fn cache(&self, _: Root) -> Option<Vec<u8>> {
        None
    }

    fn below(&self, root: Root, path: &str) -> io::Result<Box<dyn ProgramFile>> {
        let state = self.0.lock().unwrap();
        let libraries = state.roots.get(&number(root)).map(|(_, l)| l.clone());
        drop(state);
        let libraries = libraries.ok_or(io::ErrorKind::NotFound)?;
        let found = libraries.iter().find(|(known, _)| known == path);
        let (_, ino) = found.ok_or(io::ErrorKind::NotFound)?;
        self.open(1, *ino)
    }
}
