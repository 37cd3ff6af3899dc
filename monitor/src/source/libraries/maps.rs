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

/// File systems that a process of the host answers for (FUSE), as one process sees them: opening a
/// file there can wait for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Silent {
    devices: HashSet<(u32, u32)>,
    points: Vec<String>,
    root: Option<(u32, u32)>,
}

impl Silent {
    /// From `mountinfo`.
    #[must_use]
    pub fn of(mountinfo: &str) -> Self {
        let mut silent = Self::default();
        for line in mountinfo.lines() {
            let Some((device, point, kind)) = mount(line) else {
                continue;
            };
            // The last one at a place is the one that is seen.
            if point == "/" {
                silent.root = Some(device);
            }
            let fuse = kind == "fuse" || kind == "fuseblk" || kind.starts_with("fuse.");
            if fuse && silent.points.len() < MOST_MAPPED {
                silent.devices.insert(device);
                silent.points.push(point.replace("\\040", " "));
            }
        }
        silent
    }

    /// Whether to leave a file alone: it is on such a file system, or its path leads through one.
    #[must_use]
    pub fn has(&self, mapped: &Mapped) -> bool {
        let through = |point: &String| {
            let rest = mapped.path.strip_prefix(point.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.starts_with('/'))
        };
        self.devices.contains(&mapped.device) || self.points.iter().any(through)
    }

    /// Whether the root directory is a mount that the kernel itself answers for.
    #[must_use]
    pub fn root_answers(&self) -> bool {
        self.root
            .is_some_and(|device| !self.devices.contains(&device))
    }
}

/// Device, mount point and kind of a line of `mountinfo`.
fn mount(line: &str) -> Option<((u32, u32), &str, &str)> {
    let kind = line.split_once(" - ")?.1.split(' ').next()?;
    let mut words = line.split(' ').skip(2);
    let (major, minor) = words.next()?.split_once(':')?;
    let point = words.nth(1)?;
    Some(((major.parse().ok()?, minor.parse().ok()?), point, kind))
}

/// A newline in a path stands as `\012`.
fn unescape(path: &str) -> String {
    path.replace("\\012", "\n")
}
