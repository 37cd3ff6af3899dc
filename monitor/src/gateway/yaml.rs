//! YAML and JSON files of others as a bounded tree with lines.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

/// Deepest nesting.
const DEEPEST: usize = 64;

/// Most nodes, aliases counted as what they stand for.
const MOST_NODES: usize = 200_000;

/// A node.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    /// From 1.
    pub(super) line: usize,
    pub(super) value: Value,
    /// Nodes in it, itself included.
    size: usize,
    /// Levels below it.
    height: usize,
}

/// Its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    /// Plain and empty, `~` or `null`.
    Null,
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// Why a file is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct YamlError {
    pub(super) line: usize,
    pub(super) problem: String,
}

impl Node {
    pub(super) fn empty(line: usize) -> Self {
        Self {
            line,
            value: Value::Null,
            size: 1,
            height: 0,
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entries()
            .iter()
            .find(|(own, _)| own == key)
            .map(|(_, node)| node)
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn entries(&self) -> &[(String, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(super) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// Every node, parents first.
    pub(super) fn walk<'n>(&'n self, each: &mut dyn FnMut(&'n Node)) {
        each(self);
        for node in self.items() {
            node.walk(each);
        }
        for (_, node) in self.entries() {
            node.walk(each);
        }
    }

    /// Keys in the spelling of protocol buffers' text: JSON may have `andRules` for `and_rules`.
    pub(super) fn snake(&mut self) {
        match &mut self.value {
            Value::Map(entries) => {
                for (key, node) in entries {
                    if !key.starts_with('@')
                        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                    {
                        *key = snake(key);
                    }
                    node.snake();
                }
            }
            Value::List(items) => items.iter_mut().for_each(Node::snake),
            Value::Text(_) | Value::Null => {}
        }
    }
}

fn snake(key: &str) -> String {
    let mut out = String::with_capacity(key.len() + 4);
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            if !out.is_empty() {
                out.push('_');
            }
            out.push(c.to_ascii_lowercase());
        } else {
            out.push(c);
        }
    }
    out
}

/// A list or table that is not complete yet.
struct Open {
    line: usize,
    anchor: usize,
    map: bool,
    items: Vec<Node>,
    entries: Vec<(String, Node)>,
    key: Option<String>,
}

/// All documents of a file.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, YamlError> {
    let mut documents = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut anchors: HashMap<usize, Node> = HashMap::new();
    let mut nodes = 0_usize;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| YamlError {
            line: error.marker().line(),
            problem: error.info().to_owned(),
        })?;
        let line = span.start.line();
        let fail = |problem: &str| YamlError {
            line,
            problem: problem.to_owned(),
        };
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let null = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null");
                let value = if null {
                    Value::Null
                } else {
                    Value::Text(text.into_owned())
                };
                (
                    Node {
                        line,
                        value,
                        size: 1,
                        height: 0,
                    },
                    anchor,
                )
            }
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _)
                if open.len() >= DEEPEST =>
            {
                _ = anchor;
                return Err(fail("nested too deeply"));
            }
            Event::SequenceStart(anchor, _) => {
                open.push(Open {
                    line,
                    anchor,
                    map: false,
                    items: Vec::new(),
                    entries: Vec::new(),
                    key: None,
                });
                continue;
            }
            Event::MappingStart(anchor, _) => {
                open.push(Open {
                    line,
                    anchor,
                    map: true,
                    items: Vec::new(),
                    entries: Vec::new(),
                    key: None,
                });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(done) = open.pop() else {
                    return Err(fail("ends what did not begin"));
                };
                let inner = || {
                    done.items
                        .iter()
                        .chain(done.entries.iter().map(|(_, node)| node))
                };
                let size = inner().map(|node| node.size).sum::<usize>() + 1;
                let height = inner().map(|node| node.height + 1).max().unwrap_or(0);
                let value = if done.map {
                    Value::Map(done.entries)
                } else {
                    Value::List(done.items)
                };
                (
                    Node {
                        line: done.line,
                        value,
                        size,
                        height,
                    },
                    done.anchor,
                )
            }
            Event::Alias(anchor) => {
                let Some(node) = anchors.get(&anchor) else {
                    return Err(fail("an alias of nothing"));
                };
                // Before it is copied: a few lines of aliases can stand for millions of nodes.
                nodes = nodes.saturating_add(node.size);
                if nodes > MOST_NODES || open.len() + node.height > DEEPEST {
                    return Err(fail("its aliases stand for too much"));
                }
                (node.clone(), 0)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {
                continue;
            }
        };
        nodes = nodes.saturating_add(1);
        if nodes > MOST_NODES {
            return Err(fail("too many values"));
        }
        if anchor > 0 {
            nodes = nodes.saturating_add(node.size);
            if nodes > MOST_NODES {
                return Err(fail("too many values"));
            }
            anchors.insert(anchor, node.clone());
        }
        match open.last_mut() {
            None => documents.push(node),
            Some(parent) if !parent.map => parent.items.push(node),
            Some(parent) => match parent.key.take() {
                Some(key) => {
                    if parent.entries.iter().any(|(own, _)| *own == key) {
                        return Err(fail("the same key twice"));
                    }
                    parent.entries.push((key, node));
                }
                None => match node.value {
                    Value::Text(text) => parent.key = Some(text),
                    Value::Null => parent.key = Some(String::new()),
                    _ => return Err(fail("a key that is no text")),
                },
            },
        }
    }
    Ok(documents)
}
