//! `/proc/PID/maps` and `/proc/PID/mountinfo` (Documentation/filesystems/proc.rst).

use hashbrown::HashSet;

/// Mapped files of one process that are told of.
pub(crate) const MOST_MAPPED: usize = 4096;

/// A file that is mapped so that it can be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// First address and the one after the last, in hexadecimal: its name below `map_files`.
    pub range: String,
    /// Device, as the mapping tells it: of overlay and btrfs files not what `stat` tells.
    pub device: (u32, u32),
    /// Inode number.
    pub inode: u64,
    /// Path as the process' own root sees it, for people and for opening.
    pub path: String,
}

/// Executable mappings of files, one for each file.
#[must_use]
pub fn mapped(maps: &str) -> Vec<Mapped> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for line in maps.lines() {
        if found.len() >= MOST_MAPPED {
            break;
        }
        if let Some(mapped) = line_of_maps(line)
            && seen.insert((mapped.device, mapped.inode))
        {
            found.push(mapped);
        }
    }
    found
}

fn line_of_maps(line: &str) -> Option<Mapped> {
    let mut words = line.splitn(6, ' ');
    let (range, rights) = (words.next()?, words.next()?);
    let _offset = words.next()?;
    let (device, inode) = (words.next()?, words.next()?.parse().ok()?);
    let path = words.next()?.trim_start();
    let (low, high) = range.split_once('-')?;
    let low = u64::from_str_radix(low, 16).ok()?;
    let high = u64::from_str_radix(high, 16).ok()?;
    if rights.as_bytes().get(2) != Some(&b'x') || inode == 0 || !path.starts_with('/') {
        return None;
    }
    let (major, minor) = device.split_once(':')?;
    Some(Mapped {
        // `map_files` refuses the zeros that `maps` pads with.
        range: format!("{low:x}-{high:x}"),
        device: (
            u32::from_str_radix(major, 16).ok()?,
            u32::from_str_radix(minor, 16).ok()?,
        ),
        inode,
        path: unescape(path.strip_suffix(" (deleted)").unwrap_or(path)),
    })
}

/// Devices of file systems that a process of the host answers for (FUSE): opening a file there can
/// wait for ever.
#[must_use]
pub fn answered_by_processes(mountinfo: &str) -> HashSet<(u32, u32)> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let device = line.split(' ').nth(2)?;
            let kind = line.split_once(" - ")?.1.split(' ').next()?;
            let (major, minor) = device.split_once(':')?;
            let fuse = kind == "fuse" || kind == "fuseblk" || kind.starts_with("fuse.");
            fuse.then_some((major.parse().ok()?, minor.parse().ok()?))
        })
        .take(MOST_MAPPED)
        .collect()
}

/// A newline in a path stands as `\012`.
fn unescape(path: &str) -> String {
    path.replace("\\012", "\n")
}
