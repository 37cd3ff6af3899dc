//! Paths become routes: `/v1/x/17` → `/v1/x/{id}`.
//!
//! Two steps. What a segment looks like decides first (numbers, UUIDs, hashes, ULIDs, dates, e-mail
//! addresses, tokens: `shape`). What is left goes into a bounded tree per host, in which siblings
//! that turn out to vary become one `{var}`. So a name that no rule knows (a user, a branch) is lifted out
//! too, once enough of them were seen.
//!
//! Everything is bounded and deterministic: routes depend on the order of calls alone.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::clock::ClockCache;
use super::shape;

/// Distinct siblings without a digit before they become `{var}`. Interfaces have many words (one of the
/// larger has some 200 methods under one prefix); those in use are spared, see [`SPARED`].
const MAX_WORDS: u16 = 128;
/// Distinct siblings with a digit in them, or otherwise not plain words.
const MAX_MIXED: u16 = 24;
/// A word used this often when its siblings are merged keeps its name: junk cannot rename what is in use.
const SPARED: u32 = 64;
/// Deepest segment; what follows is `{rest}`.
const MAX_DEPTH: usize = 24;
/// Hosts with a tree of their own.
const MAX_HOSTS: usize = 4096;
/// "No node".
const NONE: u32 = u32::MAX;

/// What a segment counts as among its siblings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A placeholder: never counted, never merged.
    Fixed,
    /// A plain word.
    Word,
    /// Anything else.
    Mixed,
}

#[derive(Debug)]
struct Node {
    parent: u32,
    first_child: u32,
    next_sibling: u32,
    hash: u64,
    text: Box<str>,
    kind: Kind,
    /// Built at first use.
    route: Option<Arc<str>>,
    words: u16,
    mixed: u16,
    words_merged: bool,
    mixed_merged: bool,
    /// Times walked through.
    hits: u32,
    /// The same since the last pruning, saturating.
    recent: u32,
}

#[derive(Debug)]
struct Tree {
    root: u32,
    nodes: usize,
}

/// What the bounds cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouterStats {
    /// Nodes held now.
    pub nodes: usize,
    /// Times that siblings were merged.
    pub merged: u64,
    /// Nodes dropped because their host's tree, or all trees together, were full.
    pub pruned: u64,
    /// Hosts whose tree was dropped for room.
    pub hosts_evicted: u64,
}

/// Finds the route of a path. Bounded: at most `max_nodes` nodes over all hosts, a quarter of them a host.
#[derive(Debug)]
pub struct Router {
    nodes: Vec<Option<Node>>,
    free: Vec<u32>,
    /// Child by (parent, text).
    children: HashTable<u32>,
    hosts: ClockCache<Arc<str>, Tree>,
    hasher: DefaultHashBuilder,
    max_nodes: usize,
    live: usize,
    stats: RouterStats,
    version: u64,
    /// Reused buffers.
    decoded: Vec<u8>,
    composed: String,
    stack: Vec<u32>,
    /// Routes of paths that have no segments.
    empty: Arc<str>,
    asterisk: Arc<str>,
    unknown: Arc<str>,
    rest: Arc<str>,
}

impl Router {
    /// A router with at most `max_nodes` nodes (at least 256). A node takes some 150 bytes, and its route as
    /// many as it is long.
    #[must_use]
    pub fn new(max_nodes: usize) -> Self {
        Self {
            nodes: Vec::new(),
            free: Vec::new(),
            children: HashTable::new(),
            hosts: ClockCache::new(MAX_HOSTS),
            hasher: DefaultHashBuilder::default(),
            max_nodes: max_nodes.clamp(256, 1 << 24),
            live: 0,
            stats: RouterStats::default(),
            version: 0,
            decoded: Vec::new(),
            composed: String::new(),
            stack: Vec::new(),
            empty: Arc::from(""),
            asterisk: Arc::from("*"),
            unknown: Arc::from("?"),
            rest: Arc::from("{rest}"),
        }
    }

    /// What the bounds cost.
    #[must_use]
    pub fn stats(&self) -> RouterStats {
        RouterStats {
            nodes: self.live,
            hosts_evicted: self.hosts.evicted(),
            ..self.stats
        }
    }

    /// The route of `path` (without query, secrets already replaced) on `host`.
    ///
    /// Idempotent: a route is its own route. `*`, `?` (not known) and the empty path stay; anything else that does not begin
    /// with `/` is `{rest}`. Allocates only for what was not seen before.
    pub fn route(&mut self, host: &Arc<str>, path: &str) -> Arc<str> {
        self.route_for(host, path, 1)
    }

    /// Changes whenever a path may have another route than before.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// [`Self::route`] for a path that came `times` times: what was remembered elsewhere is in use too.
    pub(crate) fn route_for(&mut self, host: &Arc<str>, path: &str, times: u32) -> Arc<str> {
        let Some(segments) = path.strip_prefix('/') else {
            return Arc::clone(match path {
                "" => &self.empty,
                "*" => &self.asterisk,
                "?" => &self.unknown,
                _ => &self.rest,
            });
        };
        let host_hash = self.hasher.hash_one(&**host);
        let (root, before) = self.tree(host, host_hash);
        let live_before = self.live;
        let mut node = root;
        for (depth, segment) in segments.split('/').enumerate() {
            if depth >= MAX_DEPTH {
                node = self.child(node, "{rest}", Kind::Fixed, times);
                break;
            }
            // The buffers leave `self` while they are borrowed.
            let mut decoded = std::mem::take(&mut self.decoded);
            let mut composed = std::mem::take(&mut self.composed);
            let (text, kind) = lift(segment, &mut decoded, &mut composed);
            node = self.child(node, text, kind, times);
            self.decoded = decoded;
            self.composed = composed;
        }
        if self.live != live_before {
            // Wrapping: merging may have taken away more than was added.
            let nodes = before.wrapping_add(self.live.wrapping_sub(live_before));
            if let Some((_, tree)) = self.hosts.get(host_hash, |held| **held == **host) {
                tree.nodes = nodes;
            }
        }
        self.route_of(node)
    }

    fn node(&self, id: u32) -> Option<&Node> {
        self.nodes.get(id as usize)?.as_ref()
    }

    fn node_mut(&mut self, id: u32) -> Option<&mut Node> {
        self.nodes.get_mut(id as usize)?.as_mut()
    }

    /// Root and size of a host's tree, with room for one more path in it.
    fn tree(&mut self, host: &Arc<str>, hash: u64) -> (u32, usize) {
        // A path adds at most its segments and `{rest}`; a host its root.
        const ROOM: usize = MAX_DEPTH + 2;
        let same = |held: &Arc<str>| **held == **host;
        let (root, mut nodes) = match self.hosts.get(hash, same) {
            Some((_, tree)) => (tree.root, tree.nodes),
            None => {
                let root = self.insert(NONE, 0, "", Kind::Fixed);
                let gone = self
                    .hosts
                    .insert(hash, Arc::clone(host), Tree { root, nodes: 1 });
                if let Some((_, tree)) = gone {
                    self.drop_tree(&tree);
                }
                (root, 1)
            }
        };
        if nodes + ROOM > self.max_nodes / 4 {
            nodes = self.prune(root, nodes);
            if let Some((_, tree)) = self.hosts.get(hash, same) {
                tree.nodes = nodes;
            }
        }
        while self.live + ROOM > self.max_nodes {
            match self.hosts.evict(|held| **held != **host) {
                Some((_, tree)) => self.drop_tree(&tree),
                None => break,
            }
        }
        (root, nodes)
    }

    fn drop_tree(&mut self, tree: &Tree) {
        let before = self.live;
        self.drop_subtree(tree.root);
        self.stats.pruned = self
            .stats
            .pruned
            .saturating_add(before.saturating_sub(self.live) as u64);
    }

    fn hash(&self, parent: u32, text: &str) -> u64 {
        self.hasher.hash_one((parent, text))
    }

    fn find(&self, parent: u32, text: &str, hash: u64) -> Option<u32> {
        self.children
            .find(hash, |id| {
                self.node(*id)
                    .is_some_and(|node| node.parent == parent && *node.text == *text)
            })
            .copied()
    }

    /// The child to go to, made if need be.
    fn child(&mut self, parent: u32, text: &str, kind: Kind, times: u32) -> u32 {
        let hash = self.hash(parent, text);
        let id = match self.find(parent, text, hash) {
            Some(id) => id,
            None => {
                let (full, merged) = match (self.node(parent), kind) {
                    (Some(node), Kind::Word) => (node.words >= MAX_WORDS, node.words_merged),
                    (Some(node), Kind::Mixed) => (node.mixed >= MAX_MIXED, node.mixed_merged),
                    _ => (false, false),
                };
                if full && !merged {
                    self.merge(parent, kind);
                }
                if full || merged {
                    return self.child(parent, "{var}", Kind::Fixed, times);
                }
                self.insert(parent, hash, text, kind)
            }
        };
        if let Some(node) = self.node_mut(id) {
            node.hits = node.hits.saturating_add(times);
            node.recent = node.recent.saturating_add(times);
        }
        id
    }

    fn insert(&mut self, parent: u32, hash: u64, text: &str, kind: Kind) -> u32 {
        let node = Node {
            parent,
            first_child: NONE,
            next_sibling: self.node(parent).map_or(NONE, |node| node.first_child),
            hash,
            text: text.into(),
            kind,
            route: None,
            words: 0,
            mixed: 0,
            words_merged: false,
            mixed_merged: false,
            hits: 0,
            recent: 0,
        };
        let id = match self.free.pop() {
            Some(id) => {
                if let Some(slot) = self.nodes.get_mut(id as usize) {
                    *slot = Some(node);
                }
                id
            }
            None => {
                // Below 2²⁴ nodes by construction.
                let id = u32::try_from(self.nodes.len()).unwrap_or(NONE);
                self.nodes.push(Some(node));
                id
            }
        };
        self.live += 1;
        if parent != NONE {
            if let Some(parent) = self.node_mut(parent) {
                parent.first_child = id;
                match kind {
                    Kind::Word => parent.words = parent.words.saturating_add(1),
                    Kind::Mixed => parent.mixed = parent.mixed.saturating_add(1),
                    Kind::Fixed => {}
                }
            }
            let nodes = &self.nodes;
            self.children.insert_unique(hash, id, |id| {
                nodes
                    .get(*id as usize)
                    .and_then(Option::as_ref)
                    .map_or(0, |node| node.hash)
            });
        }
        id
    }

    /// Children of one kind vary: from now on, new ones are `{var}`. When plain words vary, all else does.
    fn merge(&mut self, parent: u32, kind: Kind) {
        self.stats.merged = self.stats.merged.saturating_add(1);
        self.version = self.version.wrapping_add(1);
        if let Some(node) = self.node_mut(parent) {
            node.mixed_merged = true;
            node.words_merged |= kind == Kind::Word;
        }
        self.retain_children(parent, |child| match child.kind {
            Kind::Fixed => true,
            Kind::Word => kind == Kind::Mixed || child.hits >= SPARED,
            Kind::Mixed => false,
        });
    }

    /// Keeps the children that `keep` wants; the others go with all that is below them.
    fn retain_children(&mut self, parent: u32, keep: impl Fn(&Node) -> bool) {
        let mut next = match self.node_mut(parent) {
            Some(node) => {
                node.words = 0;
                node.mixed = 0;
                std::mem::replace(&mut node.first_child, NONE)
            }
            None => return,
        };
        while let Some(child) = self.node_mut(next) {
            let id = next;
            next = child.next_sibling;
            if !keep(child) {
                self.drop_subtree(id);
                continue;
            }
            let kind = child.kind;
            let first = self.node(parent).map_or(NONE, |node| node.first_child);
            if let Some(child) = self.node_mut(id) {
                child.next_sibling = first;
            }
            if let Some(node) = self.node_mut(parent) {
                node.first_child = id;
                match kind {
                    Kind::Word => node.words = node.words.saturating_add(1),
                    Kind::Mixed => node.mixed = node.mixed.saturating_add(1),
                    Kind::Fixed => {}
                }
            }
        }
    }

    fn drop_subtree(&mut self, top: u32) {
        self.version = self.version.wrapping_add(1);
        let mut stack = std::mem::take(&mut self.stack);
        stack.clear();
        stack.push(top);
        while let Some(id) = stack.pop() {
            let Some(node) = self.nodes.get_mut(id as usize).and_then(Option::take) else {
                continue;
            };
            if let Ok(entry) = self.children.find_entry(node.hash, |held| *held == id) {
                entry.remove();
            }
            self.live = self.live.saturating_sub(1);
            self.free.push(id);
            let mut child = node.first_child;
            while let Some(next) = self.node(child).map(|node| node.next_sibling) {
                stack.push(child);
                child = next;
            }
        }
        self.stack = stack;
    }

    /// A host's tree is full: what was walked less than twice since the last pruning goes; if that is too
    /// little, everything. Costs as much as the tree has nodes, and as many were added since the last time.
    fn prune(&mut self, root: u32, nodes: usize) -> usize {
        let before = self.live;
        let mut todo = vec![root];
        while let Some(id) = todo.pop() {
            self.retain_children(id, |child| child.recent >= 2);
            if let Some(node) = self.node_mut(id) {
                node.recent = 0;
            }
            let mut child = self.node(id).map_or(NONE, |node| node.first_child);
            while let Some(next) = self.node(child).map(|node| node.next_sibling) {
                todo.push(child);
                child = next;
            }
        }
        let left = nodes.saturating_sub(before.saturating_sub(self.live));
        if left > self.max_nodes / 8 {
            self.retain_children(root, |_| false);
        }
        let gone = before.saturating_sub(self.live);
        self.stats.pruned = self.stats.pruned.saturating_add(gone as u64);
        nodes.saturating_sub(gone)
    }

    fn route_of(&mut self, id: u32) -> Arc<str> {
        if let Some(route) = self.node(id).and_then(|node| node.route.as_ref()) {
            return Arc::clone(route);
        }
        let mut ids = std::mem::take(&mut self.stack);
        ids.clear();
        let mut at = id;
        // The root has no parent, and its text is none of the route.
        while let Some(node) = self.node(at).filter(|node| node.parent != NONE) {
            ids.push(at);
            at = node.parent;
        }
        let mut text = std::mem::take(&mut self.composed);
        text.clear();
        for id in ids.drain(..).rev() {
            text.push('/');
            text.push_str(self.node(id).map_or("", |node| &node.text));
        }
        let route: Arc<str> = Arc::from(&*text);
        self.composed = text;
        self.stack = ids;
        if let Some(node) = self.node_mut(id) {
            node.route = Some(Arc::clone(&route));
        }
        route
    }
}

/// What a segment is called in a route, before its siblings are looked at.
fn lift<'a>(
    segment: &'a str,
    decoded: &'a mut Vec<u8>,
    composed: &'a mut String,
) -> (&'a str, Kind) {
    if shape::is_placeholder(segment.as_bytes()) {
        return (segment, Kind::Fixed);
    }
    let plain = if segment.as_bytes().contains(&b'%') {
        decoded.clear();
        super::credential::percent::decode(segment.as_bytes(), decoded);
        &**decoded
    } else {
        segment.as_bytes()
    };
    if let Some(placeholder) = shape::placeholder(plain) {
        return (placeholder, Kind::Fixed);
    }
    // `17.json`, `{id}:cancel`: the name of a thing with a word behind it.
    if let Some((stem, tail)) = split_tail(plain) {
        let name = if shape::is_placeholder(stem) {
            std::str::from_utf8(stem).ok()
        } else {
            shape::placeholder(stem)
        };
        if let (Some(name), Ok(tail)) = (name, std::str::from_utf8(tail)) {
            composed.clear();
            composed.push_str(name);
            composed.push_str(tail);
            return (composed, Kind::Mixed);
        }
    }
    let word = segment.len() <= 40
        && segment
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || b"-_.~:".contains(&byte));
    (segment, if word { Kind::Word } else { Kind::Mixed })
}

/// Splits off a file name's extension or a custom verb (`:cancel`), with its separator.
fn split_tail(segment: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = segment
        .iter()
        .rposition(|byte| matches!(byte, b'.' | b':'))?;
    let (stem, tail) = segment.split_at_checked(at)?;
    let max = if tail.first() == Some(&b'.') { 6 } else { 33 };
    let word = tail.get(1..)?;
    (!stem.is_empty()
        && !word.is_empty()
        && tail.len() <= max
        && word.iter().all(u8::is_ascii_alphabetic))
    .then_some((stem, tail))
}

#[cfg(test)]
mod tests;
