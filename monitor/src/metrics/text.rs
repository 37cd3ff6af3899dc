//! The text formats: Prometheus 0.0.4 and OpenMetrics 1.0.0.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>,
//! <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>

use std::fmt::{Display, Write as _};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Prometheus' own, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Form {
    /// What a client that sends this `Accept` is given.
    #[must_use]
    pub fn accepted(accept: Option<&str>) -> Self {
        match accept {
            Some(types) if types.contains("application/openmetrics-text") => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    /// `content-type` of it.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Types of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// What is written so far. Writing to a `String` cannot fail.
#[derive(Debug)]
pub(super) struct Text {
    out: String,
    form: Form,
    name: &'static str,
    kind: Kind,
}

impl Text {
    pub(super) fn new(form: Form) -> Self {
        Self {
            out: String::with_capacity(16 * 1024),
            form,
            name: "",
            kind: Kind::Gauge,
        }
    }

    /// Begins a family. The name of a counter is given without its `_total`.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> &mut Self {
        self.name = name;
        self.kind = kind;
        // Prometheus' own format describes a counter by the name of its samples, OpenMetrics by that of the family.
        let end = match (kind, self.form) {
            (Kind::Counter, Form::Prometheus) => "_total",
            _ => "",
        };
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        _ = write!(
            self.out,
            "# HELP {name}{end} {help}\n# TYPE {name}{end} {kind}\n"
        );
        self
    }

    /// One value of the family.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        let end = if self.kind == Kind::Counter {
            "_total"
        } else {
            ""
        };
        self.line(end, labels, value)
    }

    /// One line, with what comes behind the family's name.
    pub(super) fn line(
        &mut self,
        end: &str,
        labels: &[(&str, &str)],
        value: impl Display,
    ) -> &mut Self {
        _ = write!(self.out, "{}{end}", self.name);
        for (index, (name, value)) in labels.iter().enumerate() {
            self.out.push(if index == 0 { '{' } else { ',' });
            _ = write!(self.out, "{name}=\"");
            for c in value.chars() {
                match c {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    c => self.out.push(c),
                }
            }
            self.out.push('"');
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        _ = writeln!(self.out, " {value}");
        self
    }

    pub(super) fn finish(mut self) -> String {
        if self.form == Form::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }
}
